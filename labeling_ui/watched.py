"""A comparison that a judge is watched on: which one, what people said of it, and what is kept of the judge's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import unit_number
from labeling_ui.people import Refused
from labeling_ui.reviewing import Opinion
from labeling_ui.subjects import Subject, load_subject
from rewardkit.store.inserting import insert
from rewardkit.store.rows import encode
from rewardkit.store.tables import annotators, comparisons, labels
from rewardkit.types import Annotator, Label, Order, Rating, Record

Way = Literal["next", "random", "id"]
MOST_VOTES = 50
WATCHED = {"watched": True}
"""Stands in the metadata of what was kept by hand, so that whoever weighs labels can tell: it was seen before."""


@dataclass(frozen=True)
class Vote:
    """What somebody said of the comparison."""

    name: str
    group: str
    choice: str | None
    strength: float | None
    rationale: str
    simulated: bool


@dataclass(frozen=True)
class Case:
    """A comparison with what people said of it.

    Attributes:
        id: Of the comparison.
        subject: Its texts.
        order: In which the judge is shown them; the researcher sees the same.
        votes: What people said, not more than a page bears.
        more: How many have said something beside these.
    """

    id: str
    subject: Subject
    order: Order
    votes: tuple[Vote, ...]
    more: int


def case_of(connection: Connection, way: Way, judge_id: str, *, named: str = "", after: str = "") -> Case:
    """Return the comparison that a judge is to be watched on.

    Args:
        connection: To the store.
        way: The next one on which it has no label (those that people have labelled come first), one at random, or
            the one that is named.
        judge_id: The judge.
        named: Id of a comparison.
        after: Id of the one that was watched before, behind which the next is looked for.

    Raises:
        Refused: There is none.
    """
    if way == "id":
        row = connection.execute(sa.select(comparisons).where(comparisons.c.id == named.strip())).first()
        problem = Refused(f"there is no comparison {named.strip()[:80]!r}", fix="an export has their ids")
    elif way == "random":
        row = _from(connection, sa.select(comparisons), token_hex(16))
        problem = Refused("there is no comparison yet", fix="bring some under Data")
    else:
        row = _next(connection, judge_id, after)
        problem = Refused("this judge has labelled every comparison", fix="choose one at random, or by its id")
    if row is None:
        raise problem
    return _case(connection, row)


def keep(connection: Connection, annotator: Annotator, opinion: Opinion) -> list[str]:
    """Store what a judge said; return the ids of its labels.

    Raises:
        Refused: It has labels on this comparison already.
    """
    said: tuple[Label | Rating, ...] = (*opinion.labels, *opinion.ratings)
    kept = [_marked(each) for each in said]
    comparison = opinion.labels[0].comparison_id
    there = (labels.c.comparison_id == comparison) & (labels.c.annotator_id == annotator.id)
    if connection.execute(sa.select(labels.c.id).where(there, labels.c.status == "ok").limit(1)).first():
        raise Refused("this judge's labels on this comparison are there already", fix="go on with another one")
    insert(connection, map(encode, (annotator, *kept)))
    return sorted(each.id for each in kept if isinstance(each, Label))


def _marked(record: Label | Rating) -> Record:
    """Return a record that says how it came about; its id covers that."""
    fields: dict[str, Any] = {name: getattr(record, name) for name in type(record).model_fields if name != "id"}
    return type(record).of(**{**fields, "metadata": {**record.metadata, **WATCHED}})


def _next(connection: Connection, judge_id: str, after: str) -> Row[Any] | None:
    judged = sa.exists().where(labels.c.comparison_id == comparisons.c.id, labels.c.annotator_id == judge_id)
    left = sa.select(comparisons).where(~judged)
    of_people = sa.exists(
        sa.select(labels.c.id)
        .join_from(labels, annotators, labels.c.annotator_id == annotators.c.id)
        .where(labels.c.comparison_id == comparisons.c.id, annotators.c.kind == "human")
    )
    return _from(connection, left.where(of_people), after) or _from(connection, left, after)


def _from(connection: Connection, query: sa.Select[Any], after: str) -> Row[Any] | None:
    """Return the first row behind an id, or the first of all; ids are hashes, and sort at random."""
    first = query.order_by(comparisons.c.id).limit(1)
    return connection.execute(first.where(comparisons.c.id > after)).first() or connection.execute(first).first()


def _case(connection: Connection, row: Row[Any]) -> Case:
    subject = load_subject(connection, sorted((row.response_a, row.response_b)))
    # Half of all comparisons are shown in the other order, always the same ones: kept labels lean to no place.
    order: Order = "ab" if unit_number("watched", row.id) < 0.5 else "ba"
    votes = _votes(connection, row.id)
    return Case(row.id, subject, order, votes[:MOST_VOTES], max(0, len(votes) - MOST_VOTES))


def _votes(connection: Connection, comparison_id: str) -> tuple[Vote, ...]:
    later = labels.alias("later")
    query = (
        sa.select(labels, annotators.c.name, annotators.c.rater_group, annotators.c.simulated)
        .join_from(labels, annotators, labels.c.annotator_id == annotators.c.id)
        .where(labels.c.comparison_id == comparison_id, annotators.c.kind == "human", labels.c.status != "failed")
        .where(~sa.exists().where(later.c.supersedes == labels.c.id))
        .order_by(annotators.c.name, labels.c.id)
    )
    return tuple(_vote(row) for row in connection.execute(query))


def _vote(row: Row[Any]) -> Vote:
    return Vote(row.name, row.rater_group, row.choice, row.strength, row.rationale, row.simulated)


def shown(order: Order, both: Sequence[Any]) -> tuple[Any, Any]:
    """Return what belongs to response a and b in the order in which they are shown."""
    first, second = both if order == "ab" else tuple(both)[::-1]
    return first, second
