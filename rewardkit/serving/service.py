"""From conversations to rewards, on the server's side: encode, wait in line, collect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import stdev
from typing import TypeVar

from rewardkit.reward_model.rendering import Rendered
from rewardkit.reward_model.whole_texts import Conversation, Whole
from rewardkit.serving.daemon_thread import DaemonThread
from rewardkit.serving.engine import Encoded, Engine, Reading
from rewardkit.serving.figures import Figures
from rewardkit.serving.line import Answer, Line
from rewardkit.serving.refusals import Refusal
from rewardkit.serving.worker import DIED, Worker

T = TypeVar("T")
CHARACTERS_A_TOKEN = 4
"""Roughly: what a request takes in the line until its texts are encoded."""
PORTION = 200_000
"""Characters that are encoded at a time: then others have their turn, and whoever left asks for no more."""
ENDING = "the server is about to end: ask another one, or later"


@dataclass(frozen=True)
class Scored:
    """What is known of each text of a request.

    Attributes:
        readings: (n,) what the model says; None where there is a reason.
        truncated: (n,), where a text was cut.
        reasons: (n,), why there is no reward; None where there is one.
        tokens: Of all texts.
    """

    readings: tuple[Reading | None, ...]
    truncated: tuple[bool, ...]
    reasons: tuple[str | None, ...]
    tokens: int

    @property
    def rewards(self) -> tuple[float | None, ...]:
        """(n,) raw rewards; None where there is a reason."""
        return tuple(reading.reward if reading else None for reading in self.readings)

    @property
    def spread(self) -> tuple[float | None, ...]:
        """(n,) standard deviations between members; None where there is a reason."""
        return tuple(stdev(reading.members) if reading else None for reading in self.readings)

    @property
    def noise(self) -> tuple[float | None, ...]:
        """How far people may be apart, (n,); None where there is a reason."""
        return tuple(reading.noise if reading else None for reading in self.readings)

    def ratings(self, criteria: Sequence[str]) -> tuple[dict[str, float] | None, ...]:
        """Return ratings by criterion, (n,); None where there is a reason."""
        told = (dict(zip(criteria, each.criteria, strict=True)) if each else None for each in self.readings)
        return tuple(told)

    def whole(self) -> tuple[float, ...]:
        """Return the rewards, for a form that has no place for a text without one.

        Raises:
            Refusal: A text has none.
        """
        found = [reward for reward in self.rewards if reward is not None]
        if len(found) < len(self.rewards):
            missing = [(place, reason) for place, reason in enumerate(self.reasons) if reason]
            others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise Refusal(422, f"text {missing[0][0]} has no reward{others}: {missing[0][1]}")
        return tuple(found)


class Service:
    """A model that answers requests.

    Args:
        engine: The model.
        most_waiting: Tokens that may wait.
        thread: In which the model was loaded.
    """

    def __init__(self, engine: Engine, most_waiting: int, thread: DaemonThread) -> None:
        self.engine, self.line = engine, Line(most_waiting)
        self.figures = Figures(lambda: self.line.tokens)
        self._thread = thread
        self.worker = Worker(engine, self.line, thread, self.figures.passed)
        # One thread: a tokenizer is told by its own state whether control tokens are text, and two would mix that up.
        self._encoder = DaemonThread("encoding")
        self.ending = False

    @property
    def trouble(self) -> str:
        """Why nothing is answered now; empty while all is well."""
        if self.ending:
            return ENDING
        return "" if self.worker.alive else DIED

    def start(self) -> None:
        """Start the worker."""
        self.worker.start()

    def stop(self, seconds: float) -> None:
        """Refuse whoever still waits, and end the threads."""
        self.line.close(ENDING)
        self._encoder.end()
        self._thread.end()
        self.worker.join(seconds)

    async def score(self, asked: Sequence[Conversation | Whole]) -> Scored:
        """Compute the reward of each text; cancelled, what waits of them leaves the line.

        Args:
            asked: Conversations, or whole texts.

        Raises:
            Refusal: Too much waits, the request is too large, or nothing is answered any more.
        """
        longest = self.engine.about.max_length
        guess = sum(min(_characters(each) // CHARACTERS_A_TOKEN, longest) for each in asked)
        with self.line.place(guess) as held:
            encoded: list[Encoded] = []
            for portion in _portions(asked):
                encoded += await self._encoding(partial(self.engine.encode, portion))
                self.line.check_size(_tokens(encoded))
            sequences = [each.ids for each in encoded if isinstance(each, Rendered)]
            answers = await asyncio.wrap_future(self.line.put(held, sequences))
        scored = _scored(encoded, answers)
        failed = sum(reason is not None for reason in scored.reasons)
        self.figures.texts(len(encoded) - failed, failed)
        return scored

    async def unlike(self, asked: Sequence[Conversation]) -> tuple[tuple[str, ...], ...] | None:
        """Return how each conversation differs from the calibration's; None without one that remembers its texts."""
        calibration = self.engine.about.calibration
        if calibration is None or (known := calibration.texts) is None:
            return None
        found: list[tuple[str, ...]] = []
        for portion in _portions(asked):
            found += await self._encoding(partial(known.unlike_each, portion))
        return tuple(found)

    async def _encoding(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._encoder.run(work))


def _characters(asked: Conversation | Whole) -> int:
    if isinstance(asked, Whole):
        return len(asked.text)
    prompt, response = asked
    return sum(len(message.content) for message in prompt) + len(response)


Asked = TypeVar("Asked", bound=Conversation | Whole)


def _portions(asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """Yield some at a time, in order: one, or as many as are encoded at a time."""
    start = room = 0
    for place, each in enumerate(asked):
        room += _characters(each)
        if room > PORTION and place > start:
            yield asked[start:place]
            start, room = place, _characters(each)
    if len(asked) > start:
        yield asked[start:]


def _tokens(encoded: Sequence[Encoded]) -> int:
    return sum(len(each.ids) for each in encoded if isinstance(each, Rendered))


def _scored(encoded: Sequence[Encoded], answers: Sequence[Answer]) -> Scored:
    left = iter(answers)
    found = [next(left) if isinstance(each, Rendered) else each.reason for each in encoded]
    return Scored(
        readings=tuple(None if isinstance(answer, str) else answer for answer in found),
        truncated=tuple(isinstance(each, Rendered) and each.truncated for each in encoded),
        reasons=tuple(answer if isinstance(answer, str) else None for answer in found),
        tokens=_tokens(encoded),
    )
