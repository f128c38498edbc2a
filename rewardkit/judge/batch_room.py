"""Batches that a provider does not take, and the errors that say so.

Those for which it has no room yet wait, longer each time, and are halved where nothing of ours is in the way:
providers bound how much may be waiting in all batches together, and refuse what goes beyond. That bound is not
told, and a batch may be larger than all of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rewardkit.errors import JobFailed, ModelError

LONGEST = 3600.0
"""Seconds between two attempts."""
HALVED = 2
"""From so many refusals in a row on: whoever else had filled the room may have left by then."""
T = TypeVar("T")


@dataclass
class Room(Generic[T]):
    """What waits until the provider has room for it, by key.

    Attributes:
        first: Seconds before the second attempt; twice as many before each one after it.
        refused: Refusals since there was room last.
    """

    first: float
    refused: int = 0
    _held: list[tuple[float, dict[str, T]]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many batches wait."""
        return len(self._held)

    def hold(self, waiting: dict[str, T], *, alone: bool) -> float:
        """Keep what the provider had no room for, and return in how many seconds it is sent again.

        Args:
            waiting: The batch.
            alone: Whether no other batch of ours can be what fills the room.
        """
        self.refused += 1
        seconds = min(LONGEST, self.first * 2.0 ** (self.refused - 1))
        keys = list(waiting)
        middle = (len(keys) + 1) // 2 if alone and self.refused >= HALVED else len(keys)
        for part in (keys[:middle], keys[middle:]):
            if part:
                self._held.append((time.monotonic() + seconds, {key: waiting[key] for key in part}))
        return seconds

    def due(self) -> dict[str, T] | None:
        """Return the first that has waited long enough, which waits no more; None where there is none."""
        if self._held and self._held[0][0] <= time.monotonic():
            return self._held.pop(0)[1]
        return None


def no_room(said: str) -> JobFailed:
    """Return the error of whoever has waited for room in vain; `said` is the provider's complaint."""
    return JobFailed(
        f"the provider has no room for the batch: {said}",
        where="judge.server",
        fix="run again later, which sends it anew; or set judge.server.batch: false",
    )


def refusal(said: str, where: str) -> ModelError:
    """Return the error of a batch that the provider refuses for another reason; `where` is the batch or the server."""
    fix = "mend that and run again, which sends it anew, or set judge.server.batch: false"
    return ModelError(f"the provider refuses the batch: {said}", where=where, fix=fix)


def unreachable(what: str) -> JobFailed:
    """Return the error of a provider that does not answer."""
    return JobFailed(
        f"the provider of the batches cannot be reached: {what}",
        where="judge.server",
        fix="run again later: batches that were sent are waited for, and not sent twice",
    )


def unsure(what: str) -> JobFailed:
    """Return the error of a batch that may have been taken, and may not."""
    return JobFailed(
        f"the provider did not say whether it took the batch: {what}",
        where="judge.server",
        fix="look at its list of batches first: if it took this one, running again would pay for it twice",
    )
