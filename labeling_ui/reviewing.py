"""Assisted review: after the blind answer, a judge's verdict, critique and ratings, point by point.

Who reviews what is drawn at random and recorded (the arm), and both answers are kept, so that it can be
measured how far the judge's words move people. What the judge said is read from the store: labels and
ratings of the judge whom the config names, or of one that is asked while the annotator waits
(`labeling_ui.live_review`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Connection

from labeling_ui.answers import Form
from labeling_ui.assignment import unit_number
from labeling_ui.subjects import Subject
from rewardkit.label_config import ReviewConfig
from rewardkit.store.rows import KINDS
from rewardkit.store.tables import annotators, labels, ratings
from rewardkit.types import Annotator, Choice, Comparison, Label, Order, Rating

Arm = Literal["review", "blind"]
MOST_POINTS = 12


class Decision(Form):
    """What an annotator makes of one point.

    Attributes:
        decision: Whether it is right, was corrected, or is wrong.
        text: The corrected point; only where it was corrected.
    """

    decision: Literal["verified", "edited", "rejected"]
    text: str = Field("", max_length=5_000)


Decisions = Annotated[dict[Annotated[str, Field(max_length=120)], Decision], Field(max_length=MOST_POINTS)]


@dataclass(frozen=True)
class Point:
    """One thing that a judge said.

    Attributes:
        id: Stays the same as long as the judge's labels do.
        text: In words; responses are called as the annotator sees them.
        note: What has to be known to read the judge's own words.
    """

    id: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Opinion:
    """What one judge said about one comparison.

    Attributes:
        labels: Its labels, one for each order in which it was asked.
        ratings: Its ratings of the two responses.
    """

    labels: Sequence[Label]
    ratings: Sequence[Rating]


class Words(NamedTuple):
    """Some of what a judge says, while it says it: the number of the part that they belong to, and a text.

    What a model thinks before it speaks is for researchers; annotators read what it says aloud.
    """

    part: int
    text: str
    thought: bool = False


class LiveJudge(Protocol):
    """A judge that is asked while an annotator waits."""

    @property
    def annotator(self) -> Annotator:
        """The judge as an annotator."""

    def opinion(self, subject: Subject, order: Order) -> AsyncGenerator[Words | Opinion, None]:
        """Yield what it says as it comes, and the records of all that it has said so far; the last ones count.

        Args:
            subject: A comparison.
            order: In which the annotator sees the responses; the judge calls the first one A.

        Raises:
            ChatFailed: It cannot be reached, or broke off.
        """

    def failed(self, subject: Subject, order: Order, why: str) -> Opinion:
        """Return the record of a judge that said nothing that can be used."""


def arm_of(config: ReviewConfig, study: str, item_id: str, person_id: str) -> Arm:
    """Return whether somebody will see what the judge said of an item: decided by a hash, once for all."""
    return "review" if unit_number("arm", study, item_id, person_id) < config.share else "blind"


def opinion_of(connection: Connection, judge: str, subject: Subject) -> Opinion | None:
    """Return what a judge said about a comparison; None where it said nothing that can be shown.

    Args:
        connection: To the store.
        judge: Its name as an annotator, or its model's, for all that this model has said in whatever protocol.
        subject: The comparison.
    """
    named = (annotators.c.name == judge) | (annotators.c.model == judge)
    judges = sa.select(annotators.c.id).where(annotators.c.kind == "judge", named)
    a, b = subject.responses
    comparison = Comparison.identity(subject.prompt.id, a.id, b.id)
    of_pair = labels.c.comparison_id == comparison
    said = _decoded(connection, "labels", of_pair & labels.c.annotator_id.in_(judges) & (labels.c.status == "ok"))
    of_both = ratings.c.response_id.in_((a.id, b.id)) & (ratings.c.status == "ok")
    rated = _decoded(connection, "ratings", of_both & ratings.c.annotator_id.in_(judges))
    # What was said of a response beside another one belongs to that pair.
    rated = [each for each in rated if each.metadata.get("comparison", comparison) == comparison]
    return Opinion(said, rated) if said or rated else None


def points_of(opinion: Opinion, subject: Subject, shown: tuple[int, ...]) -> list[Point]:
    """Return what a judge said, in the order in which an annotator reads it.

    Args:
        opinion: What it said.
        subject: The comparison.
        shown: Places of the two responses as the annotator sees them.
    """
    names = {"a": f"Response {shown.index(0) + 1}", "b": f"Response {shown.index(1) + 1}"}
    points = [*_verdict(opinion.labels, names), *_critique(opinion.labels, names, shown)]
    points += _criteria(opinion.labels, names)
    points += _ratings(opinion.ratings, subject, names)
    return points[:MOST_POINTS]


def preferred(opinion: Opinion) -> Choice | None:
    """Return which response a judge prefers, in the comparison's frame; None where it gave no verdict."""
    p_a = _p_a(opinion.labels)
    if p_a is None:
        return None
    return "tie" if _equal(p_a) else "a" if p_a > 0.5 else "b"


def moved(
    opinion: Opinion, blind: Choice | None, after: Choice | None, decisions: Mapping[str, Decision]
) -> dict[str, Any]:
    """Return what the trail keeps of a review, so that it can be measured how far a judge's words move people.

    Args:
        opinion: What the judge said.
        blind: The choice before, in the comparison's frame.
        after: The choice after its words.
        decisions: What was made of each point.
    """
    points = Counter(said.decision for said in decisions.values())
    return {"blind": blind, "judge": preferred(opinion), "after": after, "points": dict(points)}


def require_decided(points: Sequence[Point], decisions: Mapping[str, Decision]) -> None:
    """Check that each point was decided, and no other.

    Raises:
        ValueError: A point is undecided, unknown, or was corrected into nothing.
    """
    ids = [point.id for point in points]
    if undecided := [each for each in ids if each not in decisions]:
        raise ValueError(f"not decided: {', '.join(undecided)}")
    if unknown := sorted(set(decisions) - set(ids)):
        raise ValueError(f"the judge did not say {', '.join(unknown)}")
    if empty := [each for each, said in decisions.items() if said.decision == "edited" and not said.text.strip()]:
        raise ValueError(f"corrected into nothing: {', '.join(empty)}")


def _verdict(said: Sequence[Label], names: Mapping[str, str]) -> list[Point]:
    p_a = _p_a(said)
    if p_a is None:
        return []
    if _equal(p_a):
        return [Point("verdict", "Both responses are about equally good.")]
    side, share = ("a", p_a) if p_a > 0.5 else ("b", 1 - p_a)
    sure = "" if share == 1 else f" ({share:.0%} sure)"
    return [Point("verdict", f"{names[side]} is better{sure}.")]


def _p_a(said: Sequence[Label]) -> float | None:
    known = [share for share in map(_share, said) if share is not None]
    return mean(known) if known else None


def _equal(p_a: float) -> bool:
    """Tell whether a verdict is none for people: half a percent more is not worth a word."""
    return round(p_a, 2) == 0.5


def _share(label: Label) -> float | None:
    if label.p_a is not None:
        return label.p_a
    return {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}[label.choice] if label.choice else None


def _critique(said: Sequence[Label], names: Mapping[str, str], shown: tuple[int, ...]) -> list[Point]:
    """Return the judge's words, of the order in which the annotator sees the responses where it was asked so."""
    own = "ab" if shown == (0, 1) else "ba"
    written = sorted((each for each in said if each.rationale.strip()), key=lambda each: each.order_shown != own)
    if not written:
        return []
    chosen = written[0]
    lines = [line.strip() for line in chosen.rationale.splitlines() if line.strip()]
    # The judge was shown letters; without a note nobody could know whom it means.
    first = names["a"] if chosen.order_shown != "ba" else names["b"]
    second = names["b"] if chosen.order_shown != "ba" else names["a"]
    note = f"The model calls {first} A, and {second} B."
    return [Point(f"critique {at}", line, note if at == 1 else "") for at, line in enumerate(lines, 1)]


def _criteria(said: Sequence[Label], names: Mapping[str, str]) -> list[Point]:
    choices: defaultdict[str, set[Choice]] = defaultdict(set)
    for label in said:
        for name, choice in label.criteria.items():
            choices[name].add(choice)
    words = {"a": names["a"], "b": names["b"], "tie": "no difference", "both_bad": "both bad"}
    return [
        Point(f"criterion {name}", f"{name}: {words[next(iter(found))] if len(found) == 1 else 'no difference'}")
        for name, found in sorted(choices.items())
    ]


def _ratings(rated: Sequence[Rating], subject: Subject, names: Mapping[str, str]) -> list[Point]:
    values: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sides = {subject.responses[0].id: names["a"], subject.responses[1].id: names["b"]}
    for rating in rated:
        if rating.value is not None:
            values[rating.criterion][sides[rating.response_id]].append(rating.value)
    scales = {rating.criterion: "{:g} to {:g}".format(*rating.scale) for rating in rated}
    return [
        Point(
            f"rating {name}",
            f"{name} ({scales[name]}): " + ", ".join(f"{mean(of[who]):.3g} for {who}" for who in sorted(of)),
        )
        for name, of in sorted(values.items())
    ]


def _decoded(connection: Connection, kind: str, where: sa.ColumnElement[bool]) -> list[Any]:
    table = KINDS[kind].table
    rows = connection.execute(sa.select(table).where(where).order_by(table.c.id))
    return [KINDS[kind].decode(row) for row in rows]
