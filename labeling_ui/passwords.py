"""Names and passwords: argon2 hashes, and a limit to how often somebody may guess."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from labeling_ui.people import Refused

SHORTEST = 10
LONGEST = 200


def hash_password(password: str) -> str:
    """Return the argon2 hash of a password.

    Raises:
        Refused: It is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters", fix="choose another")
    return PasswordHasher().hash(password)


def same_password(password: str, stored: str | None) -> bool:
    """Tell whether a password is right; takes as long where there is none, so that names cannot be tried out."""
    try:
        right = PasswordHasher().verify(stored or _nobody(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


@cache
def _nobody() -> str:
    return PasswordHasher().hash("nobody has this password")


@dataclass
class Attempts:
    """Counts attempts by name and by address; in memory, as there is one process.

    Attributes:
        most: Attempts within `seconds` after which no further one is looked at.
        seconds: How long one counts.
        clock: Seconds.
    """

    most: int = 5
    seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    _made: dict[str, deque[float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def require(self, *keys: str) -> None:
        """Refuse where a key has come too often.

        Raises:
            Refused: It has.
        """
        with self._lock:
            self._require(keys)

    def reserve(self, *keys: str) -> None:
        """Count an attempt before it is looked at: of many at the same time, no more are than may be.

        Raises:
            Refused: A key has come too often; this attempt is not counted.
        """
        with self._lock:
            self._require(keys)
            for key in keys:
                self._made.setdefault(key, deque()).append(self.clock())

    def release(self, *keys: str) -> None:
        """Take back an attempt that was right."""
        with self._lock:
            for key in keys:
                if made := self._made.get(key):
                    made.pop()
            self._forget()

    def _require(self, keys: Sequence[str]) -> None:
        self._forget()
        if any(len(self._made.get(key, ())) >= self.most for key in keys):
            raise Refused("too many attempts", fix=f"wait {self.seconds / 60:.0f} minutes")

    def _forget(self) -> None:
        """Drop what counts no more, and the keys of which nothing is left."""
        since = self.clock() - self.seconds
        for key, made in list(self._made.items()):
            while made and made[0] < since:
                made.popleft()
            if not made:
                del self._made[key]
