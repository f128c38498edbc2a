"""How a live judge's verdict and ratings are had: told in words, or read from the probabilities of labels."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import mean
from typing import Any, Protocol

from labeling_ui.chatting import LONGEST_REPLY, ChatFailed
from labeling_ui.reviewing import Words
from labeling_ui.subjects import Subject
from rewardkit.jobs.chat_models import Reader, Source
from rewardkit.judge.contract import Failure
from rewardkit.judge.critique import MOST_POINTS, CritiqueV1, Verdict
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.prompting import said, thought
from rewardkit.judge.rating import RatingV1
from rewardkit.judge.talks import Talk, open_questions
from rewardkit.judge.tasks import R, Task, pair_tasks, rating_tasks
from rewardkit.rubric import Rubric
from rewardkit.storable import storable
from rewardkit.store.rows import ComparisonTexts, RatedTexts
from rewardkit.types import Annotator, Choice, Comparison, Label, Message, Order, Prompt, Rating, Record, Response

Spoken = AsyncGenerator[Words, None]


class Answers(Protocol):
    """What a judge has said so far."""

    labels: list[Label]
    ratings: list[Rating]

    def verdict(self) -> Spoken:
        """Ask which response is better."""

    def rate(self) -> Spoken:
        """Ask how both do on each criterion."""


@dataclass
class Asked:
    """A conversation with a judge about one comparison.

    Attributes:
        annotator: The judge as an annotator.
        rubric: By which it judges.
        source: Replies of the model.
        subject: The comparison.
        order: In which the annotator sees the responses; the judge calls the first one A.
        answer: What was said aloud last.
        messages: What was said so far.
        rationale: The critique.
    """

    annotator: Annotator
    rubric: Rubric
    source: Source
    subject: Subject
    order: Order
    answer: str = ""
    messages: list[Message] = field(default_factory=list)
    rationale: str = ""
    protocol: CritiqueV1 = field(default_factory=CritiqueV1)
    _begun: float = field(default_factory=time.monotonic)
    _parts: int = 0

    @property
    def texts(self) -> ComparisonTexts:
        """The comparison, in its own frame."""
        a, b = self.subject.responses
        comparison = Comparison.of(self.subject.prompt.id, a.id, b.id)
        return ComparisonTexts(comparison=comparison, prompt=self.subject.prompt, response_a=a, response_b=b)

    @property
    def about(self) -> dict[str, Any]:
        """What is kept with ratings: beside what a response was rated."""
        return {"comparison": self.texts.comparison.id}

    async def critique(self) -> Spoken:
        """Ask what there is to say of both."""
        question = self.protocol.critique_question(self.texts, self.rubric, self.order)
        async for words in self.ask("", question, lines=MOST_POINTS):
            yield words
        self.rationale = "\n".join(self.protocol.critique(self.answer))

    def say(self, text: str) -> Words:
        """Return a part that was not asked for in words."""
        self._parts += 1
        return Words(self._parts - 1, text)

    async def ask(self, title: str, messages: Sequence[Message], *, lines: int) -> Spoken:
        """Ask something and yield what is said aloud, until there are so many whole lines; `answer` holds it then."""
        self.messages += messages
        part, text, shown, told = self._parts, "", 0, 0
        self._parts += 1
        seed = int(self.texts.comparison.id[:8], 16)
        yield Words(part, title)
        async with aclosing(self.source(self.messages, seed)) as pieces:
            async for piece in pieces:
                text += piece.text
                aloud, thinking = said(text), thought(text)
                if thinking[told:]:
                    yield Words(part, thinking[told:], thought=True)
                yield Words(part, aloud[shown:])
                shown, told = len(aloud), len(thinking)
                if len(text) > LONGEST_REPLY:
                    raise ChatFailed("The answer became too long.", why="endless answer")
                whole = aloud[: aloud.rfind("\n") + 1]
                if sum(bool(line.strip()) for line in whole.split("\n")) >= lines:
                    # What was begun after it is not read.
                    text = whole
                    break
        self.answer = storable(said(text))
        self.messages.append(Message(role="assistant", content=self.answer))

    def label(self, **said: Any) -> Label:
        """Return what the judge says of the comparison."""
        shared = {"order_shown": self.order, "created_at": datetime.now(UTC), "seconds": time.monotonic() - self._begun}
        return Label.of(self.texts.comparison.id, self.annotator.id, **shared, **said)


@dataclass
class ToldAnswers:
    """Said in words: all that can be had behind a URL."""

    asked: Asked
    labels: list[Label] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)

    async def verdict(self) -> Spoken:
        """Ask in words."""
        asked = self.asked
        async for words in asked.ask("Better: ", [asked.protocol.verdict_question()], lines=1):
            yield words
        found = asked.protocol.verdict(asked.answer)
        if isinstance(found, Failure):
            self.labels = [asked.label(status="failed", reason=found.reason, rationale=asked.rationale)]
        else:
            self.labels = [asked.label(choice=_choice(found, asked.order), rationale=asked.rationale)]

    async def rate(self) -> Spoken:
        """Ask for both at once, criterion by criterion."""
        for criterion in self.asked.rubric.by_weight():
            question = self.asked.protocol.rating_question(self.asked.rubric, criterion)
            async for words in self.asked.ask(f"{criterion.name}: ", [question], lines=1):
                yield words
            self._rated(criterion.name)

    def _rated(self, criterion: str) -> None:
        rubric, order = self.asked.rubric, self.asked.order
        found = self.asked.protocol.levels(self.asked.answer, rubric.scale)
        shared = {"scale": rubric.scale, "rubric_version": rubric.version, "created_at": datetime.now(UTC)}
        shared["metadata"] = self.asked.about
        for place, response in enumerate(self.asked.subject.responses[:: 1 if order == "ab" else -1]):
            how = (
                {"status": "failed", "reason": found.reason} if isinstance(found, Failure) else {"value": found[place]}
            )
            self.ratings.append(Rating.of(response.id, self.asked.annotator.id, criterion, **shared, **how))


@dataclass(frozen=True)
class _Named:
    """A protocol in the name of the judge that talks."""

    annotator: Annotator
    protocol: Any
    rubric: Rubric
    persona: str = ""

    def rubric_for(self, prompt: Prompt, *responses: Response) -> Rubric:
        """Return the rubric: it is the same for all items."""
        return self.rubric


@dataclass
class ReadAnswers:
    """Read from the probabilities of labels: verdicts in both orders, and ratings as expectations."""

    asked: Asked
    read: Reader
    labels: list[Label] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)

    async def verdict(self) -> Spoken:
        """Ask in both orders; what counts is the mean."""
        asked = self.asked
        orders: tuple[Order, Order] = ("ab", "ba") if asked.order == "ab" else ("ba", "ab")
        named = _Named(asked.annotator, PairwiseV1(), asked.rubric)
        tasks = list(pair_tasks([asked.texts], named, orders, frozenset()))
        labels = await _answered(tasks, self.read)
        # It was written in the order that the annotator sees.
        self.labels = [
            _explained(each, asked.rationale) if each.order_shown == asked.order else each for each in labels
        ]
        found = [label.p_a for label in labels if label.p_a is not None]
        if found:
            first = mean(found) if asked.order == "ab" else 1 - mean(found)
            letter = "tie" if first == 0.5 else "A" if first > 0.5 else "B"
            yield asked.say(f"Better: {letter} ({max(first, 1 - first):.0%} sure)")

    async def rate(self) -> Spoken:
        """Ask for each response alone."""
        asked = self.asked
        texts = [RatedTexts(response, asked.subject.prompt) for response in asked.subject.responses]
        tasks = list(rating_tasks(texts, _Named(asked.annotator, RatingV1(), asked.rubric), frozenset()))
        found = await _answered(tasks, self.read)
        self.ratings = [Rating.of(**{**_fields(each), "metadata": asked.about}) for each in found]
        shown = [each.response.id for each in texts[:: 1 if asked.order == "ab" else -1]]
        values = {(each.criterion, each.response_id): each.value for each in self.ratings}
        for criterion in asked.rubric.by_weight():
            first, second = (values[criterion.name, response] for response in shown)
            if first is not None and second is not None:
                yield asked.say(f"{criterion.name}: {first:.3g} for A, {second:.3g} for B")


async def _answered(tasks: Iterable[Task[R]], read: Reader) -> list[R]:
    """Ask all questions of a round together, round after round."""
    talks = [Talk(task) for task in tasks]
    while asked := open_questions(talks):
        for (number, place), completion in zip(asked, await read(list(asked.values())), strict=True):
            talks[number].answer(place, completion)
    return [talk.record for talk in talks if talk.record is not None]


def _explained(label: Label, rationale: str) -> Label:
    return Label.of(**{**_fields(label), "rationale": rationale})


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).model_fields if name != "id"}


def _choice(verdict: Verdict, order: Order) -> Choice:
    if verdict == "tie":
        return "tie"
    return "a" if (verdict == "A") == (order == "ab") else "b"
