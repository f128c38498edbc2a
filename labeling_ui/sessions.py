"""Who is asking: signed cookies, tokens against forged requests, links that let somebody in.

The cookie holds the person's id and nothing else; what they may do is looked up at every request. All
tokens are signed with one secret, each kind under a salt of its own, so that none can stand for another.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer, URLSafeTimedSerializer

from rewardkit.errors import ConfigError, OutputError

COOKIE = "rewardkit_session"
CSRF_HEADER = "x-csrf-token"
WEEK = 7 * 24 * 3600
LOGIN_SECONDS = 12 * 3600
VARIABLE = "REWARDKIT_SECRET"
SHORTEST = 32


@dataclass(frozen=True)
class Sessions:
    """Signs and reads what the browser brings back.

    Attributes:
        secret: At least 32 characters that nobody can guess.
        study: Tokens of one study are worth nothing in another.
    """

    secret: str
    study: str

    def cookie(self, person_id: str) -> str:
        """Return the session cookie of a person."""
        return str(self._timed("session").dumps(person_id))

    def person_of(self, cookie: str | None) -> str | None:
        """Return the person of a cookie; None where it is missing, forged or older than a week."""
        return _read(partial(self._timed("session").loads, max_age=WEEK), cookie)

    def csrf(self, person_id: str) -> str:
        """Return what every request that changes something must carry beside the cookie."""
        return hmac.digest(self.secret.encode(), f"csrf {self.study} {person_id}".encode(), "sha256").hex()

    def same_csrf(self, person_id: str, given: str | None) -> bool:
        """Tell whether a request carries the person's token."""
        return hmac.compare_digest(self.csrf(person_id).encode(), (given or "").encode())

    def invitation(self, name: str | None = None) -> str:
        """Return a token that lets one person in, again and again; whoever has it is that person."""
        return str(self._untimed("invitation").dumps(name or secrets.token_urlsafe(12)))

    def invited(self, token: str) -> str | None:
        """Return the name in an invitation; None where it is forged."""
        return _read(self._untimed("invitation").loads, token)

    def persona(self, name: str) -> str:
        """Return a token that lets a simulated annotator in, whose labels say that they are."""
        return str(self._untimed("persona").dumps(name))

    def persona_of(self, token: str) -> str | None:
        """Return the name in a simulated annotator's token; None where it is forged."""
        return _read(self._untimed("persona").loads, token)

    def login(self, name: str) -> str:
        """Return a token that lets a researcher in for half a day."""
        return str(self._timed("login").dumps(name))

    def logged_in(self, token: str) -> str | None:
        """Return the name in a researcher's token; None where it is forged or too old."""
        return _read(partial(self._timed("login").loads, max_age=LOGIN_SECONDS), token)

    def code(self, person_id: str) -> str:
        """Return the completion code of a person."""
        return hmac.digest(self.secret.encode(), f"code {self.study} {person_id}".encode(), "sha256").hex()[:8].upper()

    @property
    def webhook_key(self) -> str:
        """What signs webhooks: whoever checks them must know it, and may not know the secret."""
        return hmac.digest(self.secret.encode(), f"webhook {self.study}".encode(), "sha256").hex()

    def _timed(self, kind: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret, salt=f"{kind} {self.study}")

    def _untimed(self, kind: str) -> URLSafeSerializer:
        return URLSafeSerializer(self.secret, salt=f"{kind} {self.study}")


def secret_of(folder: Path) -> str:
    """Return the secret from the environment, or one that is made once and kept in a file only its owner reads.

    Args:
        folder: The workspace.

    Raises:
        ConfigError: The secret in the environment is too short.
        OutputError: The file cannot be written.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        if len(given) < SHORTEST:
            raise ConfigError(
                f"the secret has {len(given)} characters", where=VARIABLE, expected=f"at least {SHORTEST}"
            )
        return given
    path = folder / "label.secret"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(made, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
        found = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise OutputError(f"the secret cannot be kept ({error})", where=str(path), fix=f"set {VARIABLE}") from error
    if len(found) < SHORTEST:
        raise ConfigError("the secret is too short", where=str(path), fix="remove the file; a new one is made")
    return found


def _read(read: Callable[[str], object], token: str | None) -> str | None:
    if not token:
        return None
    try:
        found = read(token)
    except BadSignature:
        return None
    return found if isinstance(found, str) else None
