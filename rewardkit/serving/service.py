"""From conversations to rewards, on the server's side: encode, wait in line, collect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import stdev

from rewardkit.reward_model.rendering import Rendered
from rewardkit.serving.engine import Encoded, Engine, Reading
from rewardkit.serving.figures import Figures
from rewardkit.serving.line import Answer, Line
from rewardkit.serving.model_thread import ModelThread
from rewardkit.serving.refusals import Refusal
from rewardkit.serving.whole_texts import Conversation, Whole
from rewardkit.serving.worker import DIED, Worker

BYTES_A_TOKEN = 4
"""Of a request's body, roughly: what it takes in the line until its texts are encoded."""
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

    def __init__(self, engine: Engine, most_waiting: int, thread: ModelThread) -> None:
        self.engine, self.line = engine, Line(most_waiting)
        self.figures = Figures(lambda: self.line.tokens)
        self._thread = thread
        self.worker = Worker(engine, self.line, thread, self.figures.passed)
        # One thread: a tokenizer is told by its own state whether control tokens are text, and two would mix that up.
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encoding")
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
        self._encoder.shutdown(wait=False, cancel_futures=True)
        self._thread.end()
        self.worker.join(seconds)

    async def score(self, asked: Sequence[Conversation | Whole], size: int) -> Scored:
        """Compute the reward of each text; cancelled, what waits of them leaves the line.

        Args:
            asked: Conversations, or whole texts.
            size: Bytes of the request.

        Raises:
            Refusal: Too much waits, the request is too large, or nothing is answered any more.
        """
        with self.line.place(size // BYTES_A_TOKEN) as held:
            loop = asyncio.get_running_loop()
            encoded = await loop.run_in_executor(self._encoder, self.engine.encode, asked)
            sequences = [each.ids for each in encoded if isinstance(each, Rendered)]
            answers = await asyncio.wrap_future(self.line.put(held, sequences))
        scored = _scored(encoded, answers)
        failed = sum(reason is not None for reason in scored.reasons)
        self.figures.texts(len(encoded) - failed, failed)
        return scored


def _scored(encoded: Sequence[Encoded], answers: Sequence[Answer]) -> Scored:
    left = iter(answers)
    found = [next(left) if isinstance(each, Rendered) else each.reason for each in encoded]
    return Scored(
        readings=tuple(None if isinstance(answer, str) else answer for answer in found),
        truncated=tuple(isinstance(each, Rendered) and each.truncated for each in encoded),
        reasons=tuple(answer if isinstance(answer, str) else None for answer in found),
        tokens=sum(len(each.ids) for each in encoded if isinstance(each, Rendered)),
    )
