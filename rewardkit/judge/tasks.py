"""Tasks: what is asked of a backend, and the record that each answer becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from rewardkit.judge.contract import (
    Completion,
    Failure,
    PairProtocol,
    PairTexts,
    RatingProtocol,
    Request,
    ResponseTexts,
)
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Annotator, Choice, Label, Order, Rating

NOT_APPLICABLE = "the criterion does not apply"
PairKey = tuple[str, str | None, int]
RatingKey = tuple[str, str, int]
R = TypeVar("R", Label, Rating)
P_co = TypeVar("P_co", bound=PairProtocol | RatingProtocol, covariant=True)


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


@dataclass(frozen=True)
class Task(Generic[R]):
    """One request, and what becomes of its answer.

    Attributes:
        item: Id of the comparison or response that it is about.
        request: The request.
        record: Makes the label or rating of the answer.
    """

    item: str
    request: Request
    record: Callable[[Completion], R]


def pair_tasks(
    comparisons: Iterable[PairTexts],
    judge: Asks[PairProtocol],
    orders: Iterable[Order],
    already: AbstractSet[PairKey],
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
    annotator, distinct = judge.annotator.id, tuple(dict.fromkeys(orders))
    for texts in comparisons:
        item = texts.comparison.id
        for order in distinct:
            if (item, order, 0) not in already:
                request = judge.protocol.render(texts, judge.rubric, order)
                said_by = partial(Label.of, item, annotator, order_shown=order, sampling_prob=sampling_prob)
                yield Task(item, request, _labeller(judge.protocol, order, said_by))


def _labeller(protocol: PairProtocol, order: Order, said_by: Callable[..., Label]) -> Callable[[Completion], Label]:
    def label(completion: Completion) -> Label:
        shared: dict[str, Any] = {
            "tokens": completion.tokens + completion.reply_tokens,
            "seconds": completion.seconds,
            "cost": completion.cost,
            "created_at": datetime.now(UTC),
        }
        verdict = protocol.parse(completion)
        if isinstance(verdict, Failure):
            return said_by(status="failed", reason=verdict.reason, metadata=_paid(completion), **shared)
        p_a = verdict.p_first if order == "ab" else 1.0 - verdict.p_first
        metadata: dict[str, Any] = {"mass_outside": verdict.mass_outside}
        if completion.served:
            metadata["served"] = completion.served
        return said_by(choice=_choice(p_a), p_a=p_a, metadata=metadata, rationale=verdict.rationale, **shared)

    return label


def _paid(completion: Completion) -> dict[str, Any]:
    """Return what makes a failure that was paid for a record of its own: the next one like it costs again."""
    return {} if completion.cost is None else {"failed_at": datetime.now(UTC).isoformat()}


def _choice(p_a: float) -> Choice:
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def rating_tasks(
    responses: Iterable[ResponseTexts], judge: Asks[RatingProtocol], already: AbstractSet[RatingKey]
) -> Iterator[Task[Rating]]:
    """Ask about each response on each criterion, but for what is there already."""
    annotator = judge.annotator.id
    for texts in responses:
        item = texts.response.id
        for criterion in judge.rubric.by_weight():
            if (item, criterion.name, 0) not in already:
                request = judge.protocol.render_rating(texts, judge.rubric, criterion)
                yield Task(item, request, _rater(judge, annotator, item, criterion))


def checked_ratings(
    responses: Iterable[ResponseTexts], judge: Asks[RatingProtocol], already: AbstractSet[RatingKey]
) -> Iterator[Rating]:
    """Rate each response on the criteria that code decides, but for what is there already."""
    rubric = judge.rubric
    (low, high), checks = rubric.scale, [(each.name, each.check) for each in rubric.checked() if each.check]
    runs = [(name, check.name, check.run()) for name, check in checks]
    for texts in responses:
        for name, check, run in runs:
            if (texts.response.id, name, 0) not in already:
                yield Rating.of(
                    texts.response.id,
                    judge.annotator.id,
                    name,
                    value=low + run(texts.response.text) * (high - low),
                    scale=rubric.scale,
                    rubric_version=rubric.version,
                    metadata={"checked": check},
                    created_at=datetime.now(UTC),
                )


def _rater(
    judge: Asks[RatingProtocol], annotator: str, response: str, criterion: Criterion
) -> Callable[[Completion], Rating]:
    low, high = judge.rubric.scale

    def rate(completion: Completion) -> Rating:
        shared: dict[str, Any] = {
            "scale": judge.rubric.scale,
            "rubric_version": judge.rubric.version,
            "metadata": {} if completion.cost is None else {"cost": completion.cost},
            "created_at": datetime.now(UTC),
        }
        verdict = judge.protocol.parse_rating(completion)
        if isinstance(verdict, Failure):
            shared["metadata"] = {**shared["metadata"], **_paid(completion)}
            return Rating.of(response, annotator, criterion.name, status="failed", reason=verdict.reason, **shared)
        if verdict.level is None:
            return Rating.of(response, annotator, criterion.name, status="abstained", reason=NOT_APPLICABLE, **shared)
        return Rating.of(response, annotator, criterion.name, value=low + verdict.level * (high - low), **shared)

    return rate
