"""One request to a server at a time: sent within what the server bears, sent again where that helps, and read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from rewardkit.judge.attempts import UNREADABLE, Question, Terms, Wrong, pause, unreadable
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.pacing import Allowance, Pace
from rewardkit.progress import log

UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""Errors before anything is sent, by name: the providers' packages do not all use the same HTTP client."""


@dataclass
class Asking:
    """What is under way to a server; it lives on one event loop.

    Attributes:
        client: Of the provider's package.
        terms: On which requests are sent.
        asked: Requests that have no answer yet.
        sent: Those of them that the server works on.
        ending: Whether nothing is sent any more.
        complained: Whether it was said that the server cannot be reached.
    """

    client: Any
    terms: Terms
    pace: Pace = field(init=False)
    requests: Allowance = field(init=False)
    tokens: Allowance = field(init=False)
    asked: set[asyncio.Task[Any]] = field(default_factory=set)
    sent: set[asyncio.Task[Any]] = field(default_factory=set)
    ending: bool = False
    complained: bool = False

    def __post_init__(self) -> None:
        server = self.terms.server
        self.pace = Pace(server.concurrency)
        self.requests, self.tokens = Allowance(server.requests_a_minute), Allowance(server.tokens_a_minute)

    async def answer(self, request: Request) -> Completion:
        """Ask until there is an answer, it has been asked often enough, or the money is used up.

        Raises:
            ModelError: No request can be answered like this.
        """
        task, question = _this_task(), Question(request, self.terms)
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)
        if (known := question.known()) is not None:
            return known
        while True:
            try:
                found = await self._once(question)
            except Wrong as wrong:
                if (ended := question.failed(replace(wrong, again=wrong.again and not self.ending))) is not None:
                    return ended
                await asyncio.sleep(pause(wrong, question.attempts))
                continue
            return question.answered(found)

    async def _once(self, question: Question) -> Completion:
        question.attempts += 1
        begun = await self.pace.enter()
        try:
            tokens = question.tokens + question.request.reply_tokens
            await asyncio.sleep(max(self.requests.wait_for(1), self.tokens.wait_for(tokens)))
            question.sending()
            completion = await self._sent(question.request)
            self.pace.went_well()
            return completion
        except Wrong as wrong:
            if wrong.overloaded:
                self.pace.overloaded(begun, wrong.wait)
            raise
        finally:
            self.pace.leave()

    async def last_answers(self) -> None:
        """Ask nobody any more, and wait as long as one request may take for what was sent: it is paid for, and kept."""
        self.ending = True
        for task in self.asked - self.sent:
            task.cancel()
        if self.sent:
            log(f"judge: waiting for {len(self.sent)} answers that are under way (Ctrl-C ends it at once)")
            await asyncio.wait(self.sent, timeout=self.terms.server.seconds)

    async def _sent(self, request: Request) -> Completion:
        task = _this_task()
        self.sent.add(task)
        try:
            return await self._asked(request)
        finally:
            self.sent.discard(task)

    async def _asked(self, request: Request) -> Completion:
        terms, seconds = self.terms, self.terms.server.seconds
        dialect, sdk = terms.dialect, terms.dialect.sdk
        try:
            # For all of it: a server that sends a little now and then would never be too late.
            async with asyncio.timeout(seconds):
                answer = await dialect.send(self.client, dialect.body(request))
        except sdk.APIStatusError as error:
            raise terms.refusal(request, error) from error
        except (sdk.APITimeoutError, TimeoutError) as error:
            raise Wrong(f"no answer within {seconds:g} s", overloaded=True, paid=not _unsent(error)) from error
        except sdk.APIConnectionError as error:
            said = f"the server cannot be reached: {error.__cause__ or error}"
            self._complain(said)
            raise Wrong(said, paid=not _unsent(error)) from error
        # What the package makes of an answer that is no JSON, or JSON of another shape.
        except (sdk.APIError, *UNREADABLE) as error:
            raise unreadable(error) from error
        return terms.read(request, answer)

    def _complain(self, said: str) -> None:
        """Say it once and at once: it takes minutes until all attempts were made."""
        if not self.complained:
            self.complained = True
            log(f"judge: {self.terms.safe(said)}; each request is tried {self.terms.server.attempts} times")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "a coroutine that runs has a task"
    return task


def _unsent(error: Exception) -> bool:
    """Tell whether a request surely never left: a line that breaks later may break after the server's work."""
    return type(error.__cause__).__name__ in UNSENT
