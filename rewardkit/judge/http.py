"""The `openai` backend: any server that speaks OpenAI's chat completions, asked for many things at the same time.

Labels are read from the log-probabilities of the first token of the answer. Servers tell only those of the most
probable tokens: what a label that is not among them may hold at most is passed on as a bound, never as zero. A server
that gives no log-probabilities at all ends the job with what to do about it; it is never asked for words instead.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rewardkit.config import JudgeConfig, ServerConfig
from rewardkit.errors import ConfigError, ModelError
from rewardkit.extras import require
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge.pacing import Allowance, Pace

KEY = "judge.server"
CHARACTERS_A_TOKEN = 4
"""Of English, about; only estimates rest on it."""
AHEAD = 4
"""Requests that are read ahead, for each that may be under way."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
EXCERPT = 200
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OVERLOADED = frozenset({429, 503, 529})
HOPELESS = frozenset({401, 403, 404})


@dataclass(frozen=True)
class _Wrong(Exception):
    """An answer that is none.

    Attributes:
        what: Why.
        again: Whether asking once more may help.
        overloaded: Whether the server wants to be asked less.
        wait: Seconds that it wants to be left alone.
    """

    what: str
    again: bool = True
    overloaded: bool = False
    wait: float | None = None


class OpenAIBackend:
    """Asks a server.

    Args:
        model: The model's name there.
        server: Where it is, and how it is asked.
        key: The API key.
        max_tokens: A request of more than about so many tokens is a failed completion; it is never sent, and never cut.

    Raises:
        MissingExtraError: The package openai is not installed.
    """

    name = "openai"
    capabilities: frozenset[Capability] = frozenset({"labels", "replies"})

    def __init__(self, model: str, server: ServerConfig, key: str, *, max_tokens: int = 2048) -> None:
        self._openai, self._max_tokens = require("openai", "judge"), max_tokens
        self.model, self._server, self._key = model, server, key
        # What a name stands for is the server's to decide; it is asked for its name with every answer.
        self.revision = server.url.rstrip("/")
        self.settings = {
            "top_logprobs": server.top_logprobs,
            "temperature": server.temperature,
            "max_tokens": max_tokens,
        }

    @classmethod
    def open(cls, config: JudgeConfig) -> OpenAIBackend:
        """Build the backend that a config names.

        Raises:
            ConfigError: The key is not in the environment.
            MissingExtraError: The package openai is not installed.
        """
        variable = config.server.key_variable
        key = os.environ.get(variable, "").strip() if variable else "none"
        if not key:
            raise ConfigError(
                f"the environment variable {variable} is not set",
                where=f"{KEY}.key_variable",
                fix=f"export {variable}=…, or set it to null for a server that needs no key",
            )
        return cls(config.model, config.server, key, max_tokens=config.max_tokens)

    def count_tokens(self, request: Request) -> int:
        """Return about how many tokens a request has; only the server knows."""
        return _tokens(request)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests.

        Raises:
            ModelError: The server refuses the key or the model, or gives no log-probabilities.
        """
        return list(self.stream(requests))

    def stream(self, requests: Iterable[Request]) -> Generator[Completion, None, None]:
        """Answer requests in their order; they are read a little ahead.

        Raises:
            ModelError: The server refuses the key or the model, or gives no log-probabilities.
        """
        under_way: deque[Future[Completion]] = deque()
        with _loop() as loop, self._asking(loop) as asking:
            try:
                for request in requests:
                    under_way.append(asyncio.run_coroutine_threadsafe(asking.answer(request), loop))
                    if len(under_way) >= AHEAD * self._server.concurrency:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    @contextmanager
    def _asking(self, loop: asyncio.AbstractEventLoop) -> Iterator[_Asking]:
        client = self._openai.AsyncOpenAI(
            base_url=self._server.url, api_key=self._key, max_retries=0, timeout=self._server.seconds
        )
        asking = _Asking(client, self._openai, self.model, self._server, self._max_tokens)
        try:
            yield asking
        finally:
            asyncio.run_coroutine_threadsafe(client.close(), loop).result()


@dataclass
class _Asking:
    """What is under way to a server; it lives on one event loop.

    Attributes:
        client: Of the package openai.
        openai: The package.
        model: The model's name there.
        server: How it is asked.
        max_tokens: Of a request that is sent.
    """

    client: Any
    openai: Any
    model: str
    server: ServerConfig
    max_tokens: int
    pace: Pace = field(init=False)
    requests: Allowance = field(init=False)
    tokens: Allowance = field(init=False)
    _served: str = ""
    _told: bool = False

    def __post_init__(self) -> None:
        self.pace = Pace(self.server.concurrency)
        self.requests, self.tokens = Allowance(self.server.requests_a_minute), Allowance(self.server.tokens_a_minute)

    async def answer(self, request: Request) -> Completion:
        """Ask until there is an answer, or it has been asked often enough.

        Raises:
            ModelError: No request can be answered like this.
        """
        begun, spent = time.perf_counter(), _tokens(request)
        if spent > self.max_tokens:
            return Completion(tokens=spent, failure=f"the request is longer than max_tokens ({self.max_tokens})")
        for attempt in range(1, self.server.attempts + 1):
            try:
                completion = await self._once(request, spent)
                return replace(completion, attempts=attempt, seconds=time.perf_counter() - begun)
            except _Wrong as wrong:
                if not wrong.again or attempt == self.server.attempts:
                    tried = f" ({attempt} attempts)" if attempt > 1 else ""
                    return Completion(
                        tokens=spent, attempts=attempt, seconds=time.perf_counter() - begun, failure=wrong.what + tried
                    )
                if wrong.wait is None:
                    # Full jitter, so that those who failed together do not come back together.
                    await asyncio.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)))
        raise AssertionError("unreachable: the last attempt returns")

    async def _once(self, request: Request, tokens: int) -> Completion:
        await asyncio.sleep(max(self.requests.wait_for(1), self.tokens.wait_for(tokens + request.reply_tokens)))
        begun = await self.pace.enter()
        try:
            completion = await self._asked(request)
            self.pace.went_well()
            return completion
        except _Wrong as wrong:
            if wrong.overloaded:
                self.pace.overloaded(begun, wrong.wait)
            raise
        finally:
            self.pace.leave()

    async def _asked(self, request: Request) -> Completion:
        messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
        how: dict[str, Any] = {"max_tokens": request.reply_tokens or 1, "temperature": self.server.temperature}
        if request.labels:
            how |= {"logprobs": True, "top_logprobs": self.server.top_logprobs, "temperature": 0.0}
        openai = self.openai
        try:
            answer = await self.client.chat.completions.create(model=self.model, messages=messages, **how)
        except openai.APIStatusError as error:
            raise self._refused(error) from error
        except openai.APITimeoutError as error:
            raise _Wrong(f"no answer within {self.server.seconds:g} s", overloaded=True) from error
        except openai.APIConnectionError as error:
            raise _Wrong(f"the server cannot be reached: {error.__cause__ or error}") from error
        except (openai.APIError, ValueError, TypeError) as error:
            raise _Wrong(f"the answer cannot be read: {str(error)[:EXCERPT]}") from error
        return self._read(request, answer)

    def _refused(self, error: Any) -> Exception:
        """Return what a status means: for this request, or for all of them."""
        said = f"HTTP {error.status_code}: {_said(error)}"
        if error.status_code in HOPELESS:
            return ModelError(
                f"the server refuses: {said}",
                where=f"{self.model} at {self.server.url}",
                fix="check judge.model, judge.server.url and the key",
            )
        wait = _seconds(error.response.headers.get("retry-after"))
        return _Wrong(said, error.status_code in AGAIN, error.status_code in OVERLOADED, wait)

    def _read(self, request: Request, answer: Any) -> Completion:
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or len(choices) != 1:
            count = len(choices) if isinstance(choices, list) else "no"
            raise _Wrong(f"the server gave {count} answers where one was asked for")
        self._check_served(str(answer.model or ""))
        usage = answer.usage
        tokens = usage.prompt_tokens if usage else _tokens(request)
        counted = Completion(tokens=int(tokens or 0), reply_tokens=int(usage.completion_tokens or 0) if usage else 0)
        if not request.labels:
            return replace(counted, reply=choices[0].message.content or "")
        logprobs, bounds = self._labels(request, choices[0])
        return replace(counted, logprobs=logprobs, bounds=bounds)

    def _check_served(self, served: str) -> None:
        """See that one and the same model answers all requests: names are the server's to give."""
        if self._served and served != self._served:
            raise _Wrong(f"answered by the model {served!r}, and others by {self._served!r}", again=False)
        self._served = served

    def _labels(self, request: Request, choice: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Read the labels' log-probabilities at the first token, and bounds for those that are not told."""
        content = choice.logprobs.content if choice.logprobs else None
        if not content:
            if self._told:
                raise _Wrong("the answer has no log-probabilities")
            raise ModelError(
                "the server gives no log-probabilities",
                where=f"{self.model} at {self.server.url}",
                fix="choose a protocol that reads replies in words, or another server",
            )
        self._told = True
        found: dict[str, float] = {}
        told = [(each.token, float(each.logprob)) for each in content[0].top_logprobs or [content[0]]]
        for token, logprob in told:
            # Several tokens are the same label: with a space before it, and without.
            if (label := token.strip()) in request.labels:
                found[label] = float(_logsumexp(found.get(label, -math.inf), logprob))
        least = min(logprob for _, logprob in told)
        rest = math.log(max(1e-12, 1.0 - sum(math.exp(logprob) for _, logprob in told)))
        # No more than the least probable that is told, and no more than what is left.
        return found, {label: min(least, rest) for label in request.labels if label not in found}


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


def _tokens(request: Request) -> int:
    return math.ceil((len(request.system) + len(request.user)) / CHARACTERS_A_TOKEN)


def _said(error: Any) -> str:
    """Return a server's complaint, in one line."""
    body = error.body
    what = body.get("message") if isinstance(body, Mapping) else None
    return " ".join(str(what or error.message).split())[:EXCERPT]


def _seconds(header: str | None) -> float | None:
    """Read Retry-After: seconds; a date is taken for no word."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(header))) if header else None
    except ValueError:
        return None


def _logsumexp(one: float, other: float) -> float:
    high = max(one, other)
    return high if math.isinf(high) else high + math.log(math.exp(one - high) + math.exp(other - high))
