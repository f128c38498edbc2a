"""How fast a server is asked: as many requests at a time as it bears, within what it allows a minute.

The number of requests under way doubles with every round of them that went well until the server first says that it is
overloaded (slow start: Jacobson 1988, SIGCOMM), and halves whenever it says so; from then on it grows by one a round
(additive increase, multiplicative decrease: Chiu and Jain 1989, Computer Networks 17). Where the server says how long
to wait, nobody asks before that.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 8
MINUTE = 60.0


@dataclass
class Pace:
    """Lets requests go, one after the other; it lives on one event loop.

    Attributes:
        most: Requests under way at the same time, at most.
        clock: Seconds, rising.
        limit: How many are let go now.
        under_way: How many are.
    """

    most: int
    clock: Callable[[], float] = time.monotonic
    limit: float = field(init=False)
    under_way: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _not_before: float = 0.0
    _halved: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = float(min(FIRST, self.most))

    async def enter(self) -> float:
        """Wait for one's turn; returns when it was."""
        while self.under_way >= int(self.limit):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # It may have been somebody's turn who does not come any more.
                self._waiting = deque(each for each in self._waiting if each is not turn)
                self._wake()
                raise
        self.under_way += 1
        while (left := self._not_before - self.clock()) > 0:
            await self._pause(left)
        return self.clock()

    def leave(self) -> None:
        """Make room for the next."""
        self.under_way -= 1
        self._wake()

    def went_well(self) -> None:
        """Let a little more go from now on."""
        never_halved = self._halved == float("-inf")
        self.limit = min(float(self.most), self.limit + (1.0 if never_halved else 1 / self.limit))
        self._wake()

    def overloaded(self, begun: float, wait: float | None) -> None:
        """Let half as many go.

        Args:
            begun: When the request was let go: one that is older than the last halving tells nothing new.
            wait: Seconds that the server wants to be left alone.
        """
        if begun > self._halved:
            self._halved = self.clock()
            self.limit = max(1.0, self.limit / 2)
        if wait:
            self._not_before = max(self._not_before, self.clock() + wait)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.leave()
            raise

    def _wake(self) -> None:
        room = int(self.limit) - self.under_way
        while room > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1


@dataclass
class Allowance:
    """What may be used a minute; it fills up steadily, and begins full.

    Attributes:
        a_minute: How much; None without a limit.
        clock: Seconds, rising.
    """

    a_minute: float | None
    clock: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = self.a_minute or 0.0, self.clock()

    def wait_for(self, amount: float) -> float:
        """Take an amount, and return how many seconds to wait before it is used.

        More than there is a minute is let through when there is as much as can be.
        """
        if self.a_minute is None:
            return 0.0
        now = self.clock()
        self._left = min(self.a_minute, self._left + (now - self._at) * self.a_minute / MINUTE)
        self._at = now
        self._left -= min(amount, self.a_minute)
        return max(0.0, -self._left * MINUTE / self.a_minute)
