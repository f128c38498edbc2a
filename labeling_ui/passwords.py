"""Names and passwords: argon2 hashes, and a limit to how often somebody may guess."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
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
    """Counts failed attempts by name and by address; in memory, as there is one process.

    Attributes:
        most: Failures within `seconds` after which no further attempt is looked at.
        seconds: How long a failure counts.
        clock: Seconds.
    """

    most: int = 5
    seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    _failed: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _lock: Lock = field(default_factory=Lock)

    def require(self, *keys: str) -> None:
        """Refuse where a key has failed too often.

        Raises:
            Refused: It has.
        """
        with self._lock:
            if any(len(self._recent(key)) >= self.most for key in keys):
                raise Refused("too many attempts", fix=f"wait {self.seconds / 60:.0f} minutes")

    def failed(self, *keys: str) -> None:
        """Count a failure."""
        with self._lock:
            for key in keys:
                self._recent(key).append(self.clock())

    def _recent(self, key: str) -> deque[float]:
        times = self._failed[key]
        while times and times[0] < self.clock() - self.seconds:
            times.popleft()
        return times
