"""From an answer to the records that are stored: places as shown become responses here, and nowhere else.

A comparison becomes a label, and ratings where both responses were rated; a ranking the labels of all its pairs, with
a common group; a rating one record for each criterion; an edited response a new response, preferred over the one it
was made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from labeling_ui.answers import BaseAnswer, ComparisonAnswer, RankingAnswer, RatingAnswer, Shown, Span, Values
from labeling_ui.rendering import visible_text
from labeling_ui.subjects import Subject
from rewardkit.types import Choice, Comparison, Label, Order, Rating, Record, Response, Status, content_id

EDITED, RATED = "edit ", "rating "
AnyAnswer = ComparisonAnswer | RankingAnswer | RatingAnswer


@dataclass(frozen=True)
class Circumstances:
    """How an answer came about.

    Attributes:
        annotator_id: Whose it is.
        lease_id: What it was given under; it makes the record different from every other.
        shown: Places of the subject's responses in the order in which they were shown.
        repeat: 0, or how many times the annotator had labelled the same before.
        sampling_prob: Probability with which the item was routed to this annotator.
        seconds: From showing to sending.
        at: Now, in seconds since 1970.
        guideline_version: The guidelines that the annotator had read.
        earlier: Records of the answer that this one replaces, by what they are about.
        scale: Lowest and highest rating.
        rubric_version: Of the rubric whose criteria are answered.
        rates: Whether criteria of a comparison are rated, and not compared.
        about: What else is kept with the records, such as the arm and what was made of a judge's points.
    """

    annotator_id: str
    lease_id: str
    shown: tuple[int, ...]
    repeat: int
    sampling_prob: float
    seconds: float
    at: float
    guideline_version: str | None = None
    earlier: Mapping[str, str] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 5.0)
    rubric_version: str = ""
    rates: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    def order(self, a: int, b: int) -> Order:
        """Return which of two responses of the subject stood first."""
        return "ab" if self.shown.index(a) < self.shown.index(b) else "ba"

    @property
    def common(self) -> dict[str, Any]:
        """What labels and ratings both say."""
        return {
            "repeat": self.repeat,
            "sampling_prob": self.sampling_prob,
            "seconds": max(0.0, self.seconds),
            "guideline_version": self.guideline_version,
            "created_at": datetime.fromtimestamp(self.at, UTC),
        }


@dataclass(frozen=True)
class Recorded:
    """What an answer became.

    Attributes:
        records: To be stored, in the order in which they name each other.
        ids: Of the labels and ratings among them, by what they are about.
        choice: The preferred response of a comparison, in its frame.
        abstained: Whether nothing could be judged.
    """

    records: tuple[Record, ...]
    ids: dict[str, str]
    choice: Choice | None
    abstained: bool


def record(answer: AnyAnswer, subject: Subject, criteria: Sequence[str], how: Circumstances) -> Recorded:
    """Return the records of an answer.

    Args:
        answer: What the page sent.
        subject: What was labelled.
        criteria: Names of the criteria that were asked for.
        how: How the answer came about.

    Raises:
        ValueError: It speaks of a place or criterion that was not shown, or ranks not all responses.
    """
    _check_places(answer, subject)
    _check_criteria(answer, criteria, rates=how.rates)
    said = list(_said_records(answer, subject, how))
    made = (*said, *_edits(answer, subject, how))
    ids = {_about(each): each.id for each in made if isinstance(each, Label | Rating)}
    records = (*made, *_withdrawn(set(how.earlier) - set(ids), subject, how))
    labels = [each for each in said if isinstance(each, Label)]
    choice = labels[0].choice if answer.task == "comparison" else None
    return Recorded(records, ids, choice, answer.abstains)


def _said_records(answer: AnyAnswer, subject: Subject, how: Circumstances) -> Iterator[Record]:
    if isinstance(answer, ComparisonAnswer):
        return _comparison(answer, subject, how)
    if isinstance(answer, RankingAnswer):
        return _ranking(answer, subject, how)
    return _rating(answer, subject, how)


def unshown(choice: Shown, order: Order) -> Choice:
    """Return a choice in the comparison's frame."""
    if choice == "tie" or choice == "both_bad":
        return choice
    return "a" if (choice == "first") == (order == "ab") else "b"


def _about(each: Label | Rating) -> str:
    """Return what a record is about: of two answers to one item, the later record on it replaces the earlier."""
    if isinstance(each, Rating):
        return f"{RATED}{each.response_id} {each.criterion}"
    return f"{EDITED}{each.comparison_id}" if "edited" in each.metadata else each.comparison_id


def _comparison(answer: ComparisonAnswer, subject: Subject, how: Circumstances) -> Iterator[Record]:
    a, b = subject.responses
    order = how.order(0, 1)
    comparison = Comparison.of(subject.prompt.id, a.id, b.id)
    yield comparison
    yield _label(
        comparison.id,
        how,
        status="abstained" if answer.choice is None else "ok",
        choice=None if answer.choice is None else unshown(answer.choice, order),
        strength=answer.strength,
        criteria={name: unshown(choice, order) for name, choice in answer.criteria.items()},
        order_shown=order,
        **_said(answer, subject, how),
    )
    for place, values in answer.ratings.items():
        metadata = {"lease": how.lease_id, **how.about}
        yield from _ratings(values, subject.responses[how.shown[int(place) - 1]], how, metadata=metadata)


def _ranking(answer: RankingAnswer, subject: Subject, how: Circumstances) -> Iterator[Record]:
    count = len(subject.responses)
    if answer.ranks is not None and len(answer.ranks) != count:
        raise ValueError(f"{count} responses were shown, and {len(answer.ranks)} are ranked")
    group = content_id("group", *(response.id for response in subject.responses))
    said = _said(answer, subject, how)
    said["metadata"] = {**said["metadata"], "group": group}
    ranks = {how.shown[int(place) - 1]: rank for place, rank in (answer.ranks or {}).items()}
    for a, b in combinations(range(count), 2):
        pair = subject.responses[a].id, subject.responses[b].id
        comparison = Comparison.of(subject.prompt.id, *pair, group=group)
        yield comparison
        choice = _of_ranks(ranks[a], ranks[b]) if ranks else None
        status = "ok" if choice else "abstained"
        yield _label(comparison.id, how, status=status, choice=choice, order_shown=how.order(a, b), **said)


def _of_ranks(a: int, b: int) -> Choice:
    return "tie" if a == b else "a" if a < b else "b"


def _rating(answer: RatingAnswer, subject: Subject, how: Circumstances) -> Iterator[Record]:
    said = _said(answer, subject, how)
    metadata = {**said["metadata"], **({"spans": list(said["spans"])} if said["spans"] else {})}
    return _ratings(answer.ratings, subject.responses[0], how, rationale=said["rationale"], metadata=metadata)


def _ratings(values: Values, response: Response, how: Circumstances, **more: Any) -> Iterator[Rating]:
    """Yield one record for each criterion on which a response was rated."""
    low, high = how.scale
    for criterion, value in values.items():
        if value is not None and not low <= value <= high:
            raise ValueError(f"the rating {value:g} of {criterion!r} is not on the scale from {low:g} to {high:g}")
        status: Status = "abstained" if value is None else "ok"
        yield _rated(response.id, criterion, how, value=value, status=status, rubric_version=how.rubric_version, **more)


def _edits(answer: BaseAnswer, subject: Subject, how: Circumstances) -> Iterator[Record]:
    """Yield each edited response, its comparison with the original, and the preference for it."""
    for place, text in answer.edits.items():
        original = subject.responses[how.shown[int(place) - 1]]
        if not text.strip() or text == original.text:
            continue
        edited = Response.of(original.prompt_id, text, edited_from=original.id, metadata={"editor": how.annotator_id})
        comparison = Comparison.of(subject.prompt.id, edited.id, original.id, source="edits")
        yield edited
        yield comparison
        choice = "a" if comparison.response_a == edited.id else "b"
        metadata = {"lease": how.lease_id, "edited": original.id}
        yield _label(comparison.id, how, about=EDITED, choice=choice, metadata=metadata)


def _withdrawn(about: set[str], subject: Subject, how: Circumstances) -> Iterator[Record]:
    """Yield abstentions in place of what an earlier answer said and this one does not."""
    metadata = {"lease": how.lease_id, "withdrawn": True}
    for each in sorted(about):
        if each.startswith(EDITED):
            yield _label(each.removeprefix(EDITED), how, about=EDITED, status="abstained", metadata=metadata)
        elif each.startswith(RATED):
            response_id, criterion = each.removeprefix(RATED).split(" ", 1)
            yield _rated(response_id, criterion, how, status="abstained", metadata=metadata)


def _label(comparison_id: str, how: Circumstances, *, about: str = "", **fields: Any) -> Label:
    earlier = how.earlier.get(about + comparison_id)
    return Label.of(comparison_id, how.annotator_id, supersedes=earlier, **fields, **how.common)


def _rated(response_id: str, criterion: str, how: Circumstances, **fields: Any) -> Rating:
    earlier = how.earlier.get(f"{RATED}{response_id} {criterion}")
    return Rating.of(
        response_id, how.annotator_id, criterion, scale=how.scale, supersedes=earlier, **fields, **how.common
    )


def _said(answer: BaseAnswer, subject: Subject, how: Circumstances) -> dict[str, Any]:
    """Return what all kinds of answer may say beside their choice."""
    metadata: dict[str, Any] = {"lease": how.lease_id, **how.about}
    if answer.reasons:
        metadata["reasons"] = list(answer.reasons)
    spans = tuple(_span(span, subject.responses[how.shown[int(span.response) - 1]]) for span in answer.spans)
    return {"rationale": answer.rationale, "spans": spans, "metadata": metadata}


def _span(span: Span, response: Response) -> dict[str, Any]:
    """Return a marked passage; where it stands is kept only if the passage is really there."""
    found = {"response": response.id, "quote": span.quote, "sign": span.sign, "note": span.note}
    if visible_text(response.text)[span.start : span.end] == span.quote:
        return {**found, "start": span.start, "end": span.end}
    return found


def _check_places(answer: AnyAnswer, subject: Subject) -> None:
    named = {*answer.edits, *(span.response for span in answer.spans)}
    if isinstance(answer, RankingAnswer):
        named |= set(answer.ranks or ())
    if isinstance(answer, ComparisonAnswer):
        named |= set(answer.ratings)
    unknown = sorted(place for place in named if int(place) > len(subject.responses))
    if unknown:
        raise ValueError(f"there is no response {', '.join(unknown)}")


def _check_criteria(answer: AnyAnswer, criteria: Sequence[str], *, rates: bool) -> None:
    named: set[str] = set()
    if isinstance(answer, ComparisonAnswer):
        if answer.criteria if rates else answer.ratings:
            raise ValueError(f"single criteria are {'rated' if rates else 'compared'} here")
        named = {*answer.criteria, *(name for values in answer.ratings.values() for name in values)}
    elif isinstance(answer, RatingAnswer):
        named = set(answer.ratings)
    unknown = sorted(named - set(criteria))
    if unknown:
        raise ValueError(f"nobody asked for {', '.join(unknown)}")
