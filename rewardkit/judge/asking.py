"""One request to a server that speaks OpenAI's chat completions: sent, sent again where that helps, and read.

Labels are read from the log-probabilities of the first token of the answer. Servers tell only those of the most
probable tokens: what a label that is not among them may hold at most is passed on as a bound, never as zero. A server
that gives no log-probabilities at all ends the job with what to do about it; it is never asked for words instead.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.pacing import Allowance, Pace
from rewardkit.judge_config import ServerConfig

CHARACTERS_A_TOKEN = 4
"""Of English, about; only estimates rest on it."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
EXCERPT = 200
SHORTEST_KEY = 5
SPELLINGS = 3
"""Of a label, that a model may well give: bare, after a space, after a line's end."""
ABOVE_ONE = 1e-3
"""Of a log-probability: what rounding may add to 0."""
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
        paid: Whether it may have been paid for all the same: the server had worked on it.
        wait: Seconds that it wants to be left alone.
    """

    what: str
    again: bool = True
    overloaded: bool = False
    paid: bool = False
    wait: float | None = None


@dataclass(frozen=True)
class How:
    """How a server is asked.

    Attributes:
        model: The model's name there.
        server: Where it is, and what it bears.
        max_tokens: Of a request that is sent.
        key: The API key, which stands in no message.
        allow: Whether an attempt may be paid for once more.
    """

    model: str
    server: ServerConfig
    max_tokens: int
    key: str
    allow: Callable[[float], bool]


@dataclass
class Asking:
    """What is under way to a server; it lives on one event loop.

    Attributes:
        client: Of the package openai.
        openai: The package.
        how: How the server is asked.
    """

    client: Any
    openai: Any
    how: How
    pace: Pace = field(init=False)
    requests: Allowance = field(init=False)
    tokens: Allowance = field(init=False)
    _served: str = ""
    _told: bool = False

    def __post_init__(self) -> None:
        self.pace = Pace(self.server.concurrency)
        self.requests, self.tokens = Allowance(self.server.requests_a_minute), Allowance(self.server.tokens_a_minute)

    @property
    def server(self) -> ServerConfig:
        """Where it is, and what it bears."""
        return self.how.server

    async def answer(self, request: Request) -> Completion:
        """Ask until there is an answer, it has been asked often enough, or the money is used up.

        Raises:
            ModelError: No request can be answered like this.
        """
        begun, tokens = time.perf_counter(), tokens_of(request)
        if tokens > self.how.max_tokens:
            return Completion(tokens=tokens, failure=f"the request is longer than max_tokens ({self.how.max_tokens})")
        price = cost_of(self.server, tokens, request.reply_tokens or 1)
        lost, paid_again = 0.0, 0
        for attempt in range(1, self.server.attempts + 1):
            try:
                found = await self._once(request, tokens)
                cost = cost_of(self.server, found.tokens, found.reply_tokens)
            except _Wrong as wrong:
                cost = price if wrong.paid else price and 0.0
                found = Completion(tokens=tokens, failure=self._safe(wrong.what))
                again = wrong.again and attempt < self.server.attempts
                if again and wrong.paid and price:
                    again = self.how.allow(price)
                    paid_again += again
                if again:
                    lost += cost or 0.0
                    await asyncio.sleep(_wait(wrong, attempt))
                    continue
                if attempt > 1:
                    found = replace(found, failure=f"{found.failure} ({attempt} attempts)")
            seconds = time.perf_counter() - begun
            cost = None if cost is None else cost + lost
            return replace(found, attempts=attempt, paid_again=paid_again, cost=cost, seconds=seconds)
        raise AssertionError("unreachable: the last attempt returns")

    async def _once(self, request: Request, tokens: int) -> Completion:
        begun = await self.pace.enter()
        try:
            await asyncio.sleep(max(self.requests.wait_for(1), self.tokens.wait_for(tokens + request.reply_tokens)))
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
        how: dict[str, Any] = {
            "model": self.how.model,
            "messages": _messages(request),
            "max_tokens": request.reply_tokens or 1,
            "temperature": self._temperature(request),
        }
        if request.seed is not None:
            how["seed"] = request.seed
        if request.labels:
            how |= {"logprobs": True, "top_logprobs": self.server.top_logprobs, "temperature": 0.0}
        openai, seconds = self.openai, self.server.seconds
        try:
            # For all of it: a server that sends a little now and then would never be too late.
            async with asyncio.timeout(seconds):
                answer = await self.client.chat.completions.create(**how)
            return self._read(request, answer)
        except openai.APIStatusError as error:
            raise self._refused(error) from error
        except (openai.APITimeoutError, TimeoutError) as error:
            raise _Wrong(f"no answer within {seconds:g} s", overloaded=True, paid=True) from error
        except openai.APIConnectionError as error:
            raise _Wrong(f"the server cannot be reached: {error.__cause__ or error}") from error
        except (openai.APIError, ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
            raise _Wrong(f"the answer cannot be read: {str(error)[:EXCERPT]}", paid=True) from error

    def _temperature(self, request: Request) -> float:
        return self.server.temperature if request.temperature is None else request.temperature

    def _safe(self, text: str) -> str:
        """Return a text without the key, which some servers repeat in their complaints."""
        return text.replace(self.how.key, "…") if len(self.how.key) > SHORTEST_KEY else text

    def _refused(self, error: Any) -> Exception:
        """Return what a status means: for this request, or for all of them."""
        said = self._safe(f"HTTP {error.status_code}: {_said(error)}")
        if error.status_code in HOPELESS:
            return ModelError(
                f"the server refuses: {said}",
                where=f"{self.how.model} at {self.server.url}",
                fix="check judge.model, judge.server.url and the key",
            )
        wait = _seconds(error.response.headers.get("retry-after"))
        return _Wrong(said, error.status_code in AGAIN, error.status_code in OVERLOADED, wait=wait)

    def _read(self, request: Request, answer: Any) -> Completion:
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or len(choices) != 1:
            count = len(choices) if isinstance(choices, list) else "no"
            raise _Wrong(f"the server gave {count} answers where one was asked for", paid=True)
        self._check_served(str(answer.model or ""))
        said = choices[0].message.content or ""
        if not isinstance(said, str):
            raise TypeError("the reply is no text")
        was_cut = choices[0].finish_reason == "length"
        if not request.labels and was_cut and not request.cut:
            raise _Wrong(f"the reply was cut off at {request.reply_tokens} tokens", again=False, paid=True)
        if usage := answer.usage:
            tokens, reply_tokens = int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)
        else:
            tokens, reply_tokens = tokens_of(request), tokens_in(said)
        counted = Completion(tokens=tokens, reply_tokens=reply_tokens, served=self._served)
        if not request.labels:
            return replace(counted, reply=said, was_cut=was_cut)
        logprobs, bounds = self._labels(request, choices[0])
        return replace(counted, logprobs=logprobs, bounds=bounds)

    def _check_served(self, served: str) -> None:
        """See that one and the same model answers all requests: names are the server's to give."""
        if self._served and served != self._served:
            raise _Wrong(f"answered by the model {served!r}, and others by {self._served!r}", again=False, paid=True)
        self._served = served

    def _labels(self, request: Request, choice: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Read the labels' log-probabilities at the first token, and bounds for those that are not told."""
        content = choice.logprobs.content if choice.logprobs else None
        if not content:
            if self._told:
                raise _Wrong("the answer has no log-probabilities", paid=True)
            raise ModelError(
                "the server gives no log-probabilities",
                where=f"{self.how.model} at {self.server.url}",
                fix="choose a protocol that reads replies in words, or another server",
            )
        self._told = True
        found: dict[str, float] = {}
        told = [(str(each.token), float(each.logprob)) for each in content[0].top_logprobs or [content[0]]]
        if not all(math.isfinite(logprob) and logprob < ABOVE_ONE for _, logprob in told):
            raise ValueError("a log-probability is not one")
        for token, logprob in told:
            # Several tokens are the same label: with a space before it, and without.
            if (label := token.strip()) in request.labels:
                found[label] = float(_logsumexp(found.get(label, -math.inf), logprob))
        least = min(logprob for _, logprob in told)
        rest = math.log(max(1e-12, 1.0 - sum(math.exp(logprob) for _, logprob in told)))
        # No spelling of it more than the least probable token that is told, and all together no more than what is left.
        bound = min(least + math.log(SPELLINGS), rest)
        return found, {label: bound for label in request.labels if label not in found}


def cost_of(server: ServerConfig, tokens: int, reply_tokens: int) -> float | None:
    """Return what tokens of a request and of a reply cost; None where the prices are not known."""
    if server.price_in is None or server.price_out is None:
        return None
    return (tokens * server.price_in + reply_tokens * server.price_out) / 1e6


def tokens_of(request: Request) -> int:
    """Return about how many tokens a request has; only the server knows."""
    return tokens_in("".join(request.texts[:-1]))


def tokens_in(text: str) -> int:
    """Return about how many tokens a text has: four letters of English are one, a sign of another script is one."""
    others = sum(not sign.isascii() for sign in text)
    return others + math.ceil((len(text) - others) / CHARACTERS_A_TOKEN)


def _messages(request: Request) -> list[dict[str, str]]:
    """Return a request as chat messages; what a server's answer would begin with cannot be told it."""
    said = [("system", request.system), ("user", request.user)]
    said += [turn for reply, asked in request.turns for turn in (("assistant", reply), ("user", asked))]
    return [{"role": role, "content": content} for role, content in said]


def _wait(wrong: _Wrong, attempt: int) -> float:
    """Return how long to wait before the next attempt; the pace waits where the server is overloaded and says so."""
    if wrong.overloaded and wrong.wait:
        return 0.0
    # Full jitter, so that those who failed together do not come back together.
    return max(wrong.wait or 0.0, random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)))


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
