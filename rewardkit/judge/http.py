"""Backends behind a server, whoever the provider: asked for many things at the same time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

from rewardkit.errors import ConfigError
from rewardkit.judge.asking import Asking
from rewardkit.judge.attempts import Dialect, Terms, cost_of, tokens_of
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge.provider_batches import Batches, in_batches
from rewardkit.judge_config import JudgeConfig, ServerConfig

AHEAD = 4
"""Requests that are read ahead, for each that may be under way."""
HANDED_OVER = 8
"""Requests that go to the event loop together, at most."""
LONG_SECONDS = 600.0
"""For files of requests and answers."""


class ServerBackend:
    """Asks a server; what differs between providers is in the dialect that `speaks` names.

    Args:
        model: The model's name there.
        server: Where it is, and how it is asked.
        key: The API key.
        max_tokens: A request of more than about so many tokens is a failed completion; it is never sent, and never cut.

    Attributes:
        allow: Whether an attempt may be paid for once more.
        cache: Where answers are kept, if they are.

    Raises:
        MissingExtraError: The provider's package is not installed.
    """

    name: str
    capabilities: frozenset[Capability]
    speaks: Callable[[str, ServerConfig], Dialect]

    def __init__(self, model: str, server: ServerConfig, key: str, *, max_tokens: int = 2048) -> None:
        self._dialect, self._max_tokens = type(self).speaks(model, server), max_tokens
        self.model, self._server, self._key = model, server, key
        self.allow: Callable[[float], bool] = lambda _: True
        self.cache: AnswerCache | None = None
        # What a name stands for is the server's to decide; it is asked for its name with every answer.
        self.revision = server.url.rstrip("/")
        self.settings: Mapping[str, Any] = {"temperature": server.temperature, "max_tokens": max_tokens}

    @classmethod
    def open(cls, config: JudgeConfig) -> Self:
        """Build the backend that a config names.

        Raises:
            ConfigError: The key is not in the environment, or is none.
            MissingExtraError: The provider's package is not installed.
        """
        variable = config.server.key_variable
        key = os.environ.get(variable, "").strip() if variable else "none"
        if not key:
            raise ConfigError(
                f"the environment variable {variable} is not set",
                where="judge.server.key_variable",
                fix=f"export {variable}=…, or set it to null for a server that needs no key",
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"the key in {variable} holds a sign that no key has, such as the end of a line",
                where="judge.server.key_variable",
                fix="copy it once more",
            )
        return cls(config.model, config.server, key, max_tokens=config.max_tokens)

    def count_tokens(self, request: Request) -> int:
        """Return about how many tokens a request has; only the server knows."""
        return tokens_of(request)

    def price(self, request: Request) -> float:
        """Return the most that one attempt costs, about; 0 where it is known already or never sent, or no price is."""
        if (tokens := tokens_of(request)) > self._max_tokens:
            return 0.0
        price = cost_of(self._server, tokens, request.reply_tokens or 1)
        known = price and self.cache and self.cache.holds(self._terms().key_of(request))
        return 0.0 if known else price or 0.0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests.

        Raises:
            ModelError: The server refuses the key or the model, or gives no log-probabilities.
        """
        answers = dict(self.stream(requests))
        return [answers[number] for number in range(len(requests))]

    def stream(self, requests: Iterable[Request | None]) -> Generator[tuple[int, Completion], None, None]:
        """Answer requests as the answers come, each with the request's number; see `Streaming`.

        Raises:
            ModelError: The server refuses the key or the model, or gives no log-probabilities.
        """
        if self._server.batch:
            yield from self._in_batches(requests)
            return
        with _loop() as loop, self._asking(loop) as asking:
            line = _Line(loop, asking)
            try:
                for number, request in _with_room(requests, line, AHEAD * self._server.concurrency):
                    if request is not None:
                        line.ask(number, request)
                    else:
                        yield line.answer()
            finally:
                asyncio.run_coroutine_threadsafe(asking.last_answers(), loop).result()

    @contextmanager
    def _asking(self, loop: asyncio.AbstractEventLoop) -> Iterator[Asking]:
        client = self._dialect.client(self._key, max_retries=0, timeout=self._server.seconds)
        try:
            yield Asking(client, self._terms())
        finally:
            asyncio.run_coroutine_threadsafe(client.close(), loop).result()

    def _in_batches(self, requests: Iterable[Request | None]) -> Generator[tuple[int, Completion], None, None]:
        """Answer requests by the provider's batches; without a file for it what was sent is known in memory only."""
        self.cache = self.cache or AnswerCache()
        client = self._dialect.client(self._key, max_retries=0, timeout=LONG_SECONDS)
        with asyncio.Runner() as runner:
            try:
                batches = Batches(client, self._terms(), self._dialect.post, self.cache)
                yield from in_batches(requests, batches, runner.run)
            finally:
                runner.run(client.close())

    def _terms(self) -> Terms:
        return Terms(
            self._dialect,
            self.model,
            self._server,
            max_tokens=self._max_tokens,
            key=self._key,
            allow=self.allow,
            cache=self.cache,
        )


class _Line:
    """Between the thread that asks and waits, and the event loop in which requests are under way.

    Threads that wake each other for every request take turns instead of working: some requests go over together, or as
    many as there are where nothing else is left to do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, asking: Asking) -> None:
        self._loop, self._asking = loop, asking
        self._asked: list[tuple[int, Request]] = []
        self._answered: SimpleQueue[tuple[int, asyncio.Task[Completion]]] = SimpleQueue()
        self._under_way = 0

    def __len__(self) -> int:
        return self._under_way

    def ask(self, number: int, request: Request) -> None:
        """Have a request asked."""
        self._asked.append((number, request))
        self._under_way += 1
        if len(self._asked) == HANDED_OVER:
            self._hand_over()

    def answer(self) -> tuple[int, Completion]:
        """Wait for an answer, and return it with its request's number.

        Raises:
            ModelError: No request can be answered like this.
        """
        if self._answered.empty():
            self._hand_over()
        number, task = self._answered.get()
        self._under_way -= 1
        return number, task.result()

    def _hand_over(self) -> None:
        if self._asked:
            asked, self._asked = self._asked, []
            self._loop.call_soon_threadsafe(self._begin, asked)

    def _begin(self, asked: list[tuple[int, Request]]) -> None:
        for number, request in asked:
            task = self._loop.create_task(self._asking.answer(request))
            task.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, task: asyncio.Task[Completion]) -> None:
        if not task.cancelled():
            # Looked at: asyncio prints those that nobody looks at, with all that a server said.
            task.exception()
        self._answered.put((number, task))


def _with_room(requests: Iterable[Request | None], under_way: Sized, most: int) -> Iterator[tuple[int, Request | None]]:
    """Yield numbered requests as long as there is room for them, and None where an answer is to be awaited first."""
    number = 0
    for request in requests:
        while len(under_way) >= most:
            yield number, None
        if request is not None:
            yield number, request
            number += 1
        elif len(under_way):
            yield number, None
    while len(under_way):
        yield number, None


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own: the caller takes answers one by one, and waits."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="judge", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_settled(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settled() -> None:
    """Wait for what was cancelled to be over."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
