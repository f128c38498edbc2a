"""Lines of JSON on their way to a page: sent on the event loop while the work goes on, so that nobody else waits.

Where the work is silent, an empty object now and then tells the page that the connection stands. Whoever closes
the page ends the work.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SILENCE = 10.0
"""Seconds after which a page that waits is told that it still does."""
# Proxies that collect what they pass on would make a stream wait for its end.
UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}
LINES = "application/x-ndjson"

Line = Mapping[str, Any]


@dataclass(eq=False)
class LineStream(ABC):
    """Work that tells a page how it goes."""

    _lines: asyncio.Queue[Line | None] = field(default_factory=asyncio.Queue, init=False, repr=False, kw_only=True)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield what the page is told; the work ends when nobody listens any more."""
        work = asyncio.create_task(self.work())
        work.add_done_callback(lambda _: self.end())
        try:
            while (line := await self._next()) is not None:
                # A piece may end in the middle of a character, which only escapes can carry.
                yield json.dumps(line).encode() + b"\n"
            if work.done():
                # What nobody foresaw is raised here.
                work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])

    @abstractmethod
    async def work(self) -> None:
        """Do what is to be done, and `tell` the page."""

    def tell(self, line: Line) -> None:
        """Send a line."""
        self._lines.put_nowait(line)

    def end(self) -> None:
        """Send nothing more."""
        self._lines.put_nowait(None)

    async def _next(self) -> Line | None:
        try:
            return await asyncio.wait_for(self._lines.get(), SILENCE)
        except TimeoutError:
            return {}
