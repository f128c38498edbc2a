"""The server's process: its address, its signals, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from threading import current_thread, main_thread
from types import FrameType

import uvicorn

from rewardkit.errors import ConfigError
from rewardkit.progress import log
from rewardkit.serving.app import Routes
from rewardkit.serving.gate import Gate, Rules
from rewardkit.serving.options import KEY, Options
from rewardkit.serving.service import Service

IDLE_SECONDS = 75
"""For which a connection is kept for its next request."""
LAST_SECONDS = 2
"""For answers that are on their way to their clients, when all else is done."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def check_open(host: str, key: str) -> None:
    """Check that whoever reaches an address must show a key.

    Raises:
        ConfigError: Others reach it, and there is none.
    """
    if not key and not _is_own(host):
        raise ConfigError(
            "others can reach this address, and no key is set",
            where=f"--host {host}",
            fix=f"set {KEY} in the environment, or serve on 127.0.0.1",
        )


def _is_own(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Server(uvicorn.Server):
    """Serves until it is told to end; then those who wait are answered, and nobody else.

    Args:
        service: Answers.
        options: How.
        key: That requests must show; empty where none is needed.
    """

    def __init__(self, service: Service, options: Options, key: str) -> None:
        self.service, self._drain_seconds = service, options.drain_seconds
        routes = Routes(service)
        rules = Rules(key, options.most_bytes, frozenset([*routes.posts, *routes.gets]))
        self.gate = Gate(routes.app(), service, rules)
        config = uvicorn.Config(
            self.gate,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=LAST_SECONDS,
        )
        super().__init__(config)

    def serve_on(self, bound: socket.socket, told: Callable[[], None] = lambda: None) -> None:
        """Serve on a socket until told to end.

        Args:
            bound: The socket.
            told: Called once requests are answered.
        """
        self._told = told
        self.service.start()
        try:
            self.run([bound])
        finally:
            self.service.stop(LAST_SECONDS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._told()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that end the process; a server that ended as it was told ends without one."""
        self._loop = asyncio.get_running_loop()
        # Another thread than the main one hears none.
        heard = SIGNALS if current_thread() is main_thread() else ()
        before = {each: signal.signal(each, self.handle_exit) for each in heard}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; told a second time, end at once."""
        if self.service.ending:
            os._exit(128 + sig)
        self.service.ending = True
        # Not from here: the signal may have come in the middle of anything.
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        log(f"serve: ending; requests that are still answered: {self.gate.inside} (told again, it ends at once)")
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        """Wait until everybody is answered, as long as that may take; whoever is left is refused."""
        end = self._loop.time() + self._drain_seconds
        while self.gate.inside and self._loop.time() < end:
            await asyncio.sleep(0.02)
        if self.gate.inside:
            log(f"serve: requests that could not be answered in {self._drain_seconds:g} s: {self.gate.inside}")
        self.service.line.close("the server ended before the answer was there: ask again")
        self.should_exit = True
