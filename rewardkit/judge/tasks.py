"""Tasks: what is asked of a backend about one item, and the record that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from rewardkit.judge.contract import (
    Completion,
    Failure,
    PairProtocol,
    PairTexts,
    PairVerdict,
    RatingProtocol,
    RatingVerdict,
    Request,
    ResponseTexts,
    Steps,
)
from rewardkit.judge.list_contract import ListProtocol
from rewardkit.judge.resuming import PairKey, RatingKey, left_of
from rewardkit.judge.writing import Written
from rewardkit.rubric import Criterion, Rubric
from rewardkit.storable import storable
from rewardkit.types import Annotator, Choice, Comparison, Label, Order, Prompt, Rating, Response

SIDES = {"first", "second"}
NOT_APPLICABLE = "the criterion does not apply"
R = TypeVar("R", Label, Rating, tuple[Label, ...], Written)
"""A record, those of a group, or a text."""
V = TypeVar("V")
P_co = TypeVar("P_co", bound=PairProtocol | RatingProtocol | ListProtocol, covariant=True)


class Asks(Protocol[P_co]):
    """Whoever asks by a protocol and a rubric."""

    @property
    def annotator(self) -> Annotator:
        """In whose name."""

    @property
    def protocol(self) -> P_co:
        """How."""

    @property
    def rubric(self) -> Rubric:
        """For what."""

    def rubric_for(self, prompt: Prompt, *responses: Response) -> Rubric:
        """For what, in view of one item."""

    @property
    def persona(self) -> str:
        """As whom, in a sentence for the system message; empty for nobody."""


@dataclass(frozen=True)
class Task(Generic[R]):
    """Questions about one item, and what becomes of the answers.

    Attributes:
        item: Id of the comparison or response that they are about.
        steps: Asks them; returns the label or rating, the labels of a group, or what was written.
    """

    item: str
    steps: Steps[R]


@dataclass
class Used:
    """What all answers to one task's questions took together."""

    answers: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cost: float | None = None
    served: str = ""

    def add(self, completion: Completion) -> None:
        """Count one answer."""
        self.answers += 1
        self.tokens += completion.tokens + completion.reply_tokens
        self.seconds += completion.seconds
        if completion.cost is not None:
            self.cost = (self.cost or 0.0) + completion.cost
        self.served = completion.served or self.served

    def part(self, number: int, of: int) -> Used:
        """Return the part of one of several records: all parts together are the whole."""
        cost = None if self.cost is None else self.cost / of
        tokens = self.tokens // of + (number < self.tokens % of)
        return replace(self, tokens=tokens, seconds=self.seconds / of, cost=cost)


def pair_tasks(
    comparisons: Iterable[PairTexts],
    judge: Asks[PairProtocol],
    orders: Iterable[Order],
    already: Container[PairKey],
    sampling_prob: float = 1.0,
) -> Iterator[Task[Label]]:
    """Ask about each comparison in each order, but for what is there already.

    Args:
        comparisons: Those to be asked about.
        judge: Who is asked.
        orders: In which orders they are shown.
        already: What is not asked again.
        sampling_prob: With which probability a comparison came to be among them.
    """
    annotator, orders = judge.annotator.id, tuple(orders)
    for texts in comparisons:
        item = texts.comparison.id
        for order in left_of(item, orders, already):
            said_by = partial(Label.of, item, annotator, order_shown=order, sampling_prob=sampling_prob)
            yield Task(item, _labelling(judge, texts, order, said_by))


def _labelling(
    judge: Asks[PairProtocol], texts: PairTexts, order: Order, said_by: Callable[..., Label]
) -> Steps[Label]:
    used, about = Used(), f"{texts.comparison.id} {order}"
    rubric = judge.rubric_for(texts.prompt, texts.response_a, texts.response_b)
    steps = judge.protocol.compare(texts, rubric, order)
    verdict = yield from ask(steps, used, about, judge.persona)
    return labelled(verdict, used, texts.comparison, order, said_by)


def labelled(
    verdict: PairVerdict | Failure, used: Used, comparison: Comparison, order: Order, said_by: Callable[..., Label]
) -> Label:
    """Return the label that says what a verdict says, in the comparison's frame."""
    shared: dict[str, Any] = {
        "tokens": used.tokens,
        "seconds": used.seconds,
        "cost": used.cost,
        "created_at": datetime.now(UTC),
    }
    if isinstance(verdict, Failure):
        return said_by(status="failed", reason=verdict.reason, metadata=_paid(used), **shared)
    return said_by(**_said(verdict, order, used, comparison), **shared)


def ask(steps: Steps[V], used: Used, about: str, persona: str) -> Steps[V]:
    """Ask what a protocol asks, in a persona's name, and count what the answers take."""
    try:
        asked = next(steps)
        while True:
            answers = storable((yield tuple(_framed(request, about, persona) for request in asked)))
            for answer in answers:
                used.add(answer)
            asked = steps.send(answers)
    except StopIteration as stop:
        # Once more: JSON in a reply may say the same characters by their numbers.
        verdict: V = storable(stop.value)
        return verdict


def _framed(request: Request, about: str, persona: str) -> Request:
    return replace(request, about=about, system=f"{request.system} {persona}".strip() if persona else request.system)


def _said(verdict: PairVerdict, order: Order, used: Used, comparison: Comparison) -> dict[str, Any]:
    """Return the fields of a label that say what a verdict says, in the comparison's frame."""
    p_a = _turned(verdict.p_first, order)
    details = {name: _sided(value, order) for name, value in verdict.details.items()}
    metadata: dict[str, Any] = {"mass_outside": verdict.mass_outside, **details}
    neither = {"p_tie": verdict.p_tie, "p_both_bad": verdict.p_both_bad}
    metadata |= {name: share for name, share in neither.items() if share}
    if verdict.criteria:
        by_criterion = {name: _turned(p_first, order) for name, p_first in verdict.criteria.items()}
        metadata["p_a_by_criterion"] = by_criterion
    else:
        by_criterion = {}
    if used.served:
        metadata["served"] = used.served
    return {
        "choice": _choice(verdict, order),
        "p_a": p_a,
        "criteria": {name: _side(p) for name, p in by_criterion.items()},
        "spans": tuple(_span(span, order, comparison) for span in verdict.spans),
        "metadata": metadata,
        "rationale": verdict.rationale,
    }


def _turned(p_first: float, order: Order) -> float:
    return p_first if order == "ab" else 1.0 - p_first


def _sided(value: Any, order: Order) -> Any:
    """Return a detail; what it tells of the first and the second response is told of A and B."""
    if not isinstance(value, Mapping) or set(value) != SIDES:
        return value
    first, second = ("a", "b") if order == "ab" else ("b", "a")
    return {first: value["first"], second: value["second"]}


def _span(span: Mapping[str, Any], order: Order, comparison: Comparison) -> dict[str, Any]:
    """Return a passage with the id of its response, as people's are stored."""
    first = span.get("response") == "first"
    return {**span, "response": comparison.response_a if first == (order == "ab") else comparison.response_b}


def _paid(used: Used) -> dict[str, Any]:
    """Return what makes a failure that was paid for a record of its own: the next one like it costs again."""
    return {} if used.cost is None else {"failed_at": datetime.now(UTC).isoformat()}


def _choice(verdict: PairVerdict, order: Order) -> Choice:
    said = verdict.said
    if said == "tie" or said == "both_bad":
        return said
    return "a" if (said == "first") == (order == "ab") else "b"


def _side(p_a: float) -> Choice:
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def rating_tasks(
    responses: Iterable[ResponseTexts], judge: Asks[RatingProtocol], already: Container[RatingKey]
) -> Iterator[Task[Rating]]:
    """Ask about each response on each criterion, but for what is there already."""
    annotator, criteria = judge.annotator.id, judge.rubric.by_weight()
    for texts in responses:
        item = texts.response.id
        for criterion in criteria:
            if (item, criterion.name, 0) not in already:
                said_by = partial(Rating.of, item, annotator, criterion.name)
                yield Task(item, _rating(judge, texts, criterion, said_by))


def checked_ratings(
    responses: Iterable[ResponseTexts], judge: Asks[RatingProtocol], already: Container[RatingKey]
) -> Iterator[Rating]:
    """Rate each response on the criteria that code decides, but for what is there already."""
    rubric, annotator = judge.rubric, judge.annotator.id
    (low, high), checks = rubric.scale, [(each.name, each.check) for each in rubric.checked() if each.check]
    runs = [(name, check.name, check.run()) for name, check in checks]
    for texts in responses:
        for name, check, run in runs:
            if (texts.response.id, name, 0) not in already:
                yield Rating.of(
                    texts.response.id,
                    annotator,
                    name,
                    value=low + run(texts.response.text) * (high - low),
                    scale=rubric.scale,
                    rubric_version=rubric.version,
                    metadata={"checked": check},
                    created_at=datetime.now(UTC),
                )


def _rating(
    judge: Asks[RatingProtocol], texts: ResponseTexts, criterion: Criterion, said_by: Callable[..., Rating]
) -> Steps[Rating]:
    used, about = Used(), f"{texts.response.id} {criterion.name}"
    steps = judge.protocol.rate(texts, judge.rubric_for(texts.prompt, texts.response), criterion)
    verdict: RatingVerdict | Failure = yield from ask(steps, used, about, judge.persona)
    metadata: dict[str, Any] = {} if used.cost is None else {"cost": used.cost}
    shared: dict[str, Any] = {
        "scale": judge.rubric.scale,
        "rubric_version": judge.rubric.version,
        "seconds": used.seconds,
        "created_at": datetime.now(UTC),
    }
    if isinstance(verdict, Failure):
        return said_by(status="failed", reason=verdict.reason, metadata={**metadata, **_paid(used)}, **shared)
    # Tokens are no part of what was said, and all metadata are: of a label they stand beside it.
    metadata |= {"mass_outside": verdict.mass_outside, **verdict.details}
    if used.served:
        metadata["served"] = used.served
    shared |= {"metadata": metadata, "rationale": verdict.rationale}
    if verdict.level is None:
        return said_by(status="abstained", reason=NOT_APPLICABLE, **shared)
    low, high = judge.rubric.scale
    return said_by(value=low + verdict.level * (high - low), **shared)
