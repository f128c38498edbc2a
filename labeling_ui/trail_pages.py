"""The audit trail, read back: newest first, by person and kind, one page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from labeling_ui.trail_words import Told, ids_of, told
from rewardkit.store.labelling_tables import events, people
from rewardkit.store.store import Store
from rewardkit.store.tables import annotators

PAGE = 50


@dataclass(frozen=True)
class Trail:
    """One page of the trail.

    Attributes:
        rows: Events with the pseudonym of the person under whom they stand.
        told: The same in words.
        first: Place of the first of them, from 1; 0 where there is none.
        total: How many there are.
    """

    rows: Sequence[sa.Row[Any]]
    told: Sequence[Told]
    first: int
    total: int


def read_trail(store: Store, study: str, *, person_id: str = "", kind: str = "", page: int = 0) -> Trail:
    """Return a page of events.

    Args:
        store: Where they are.
        study: Whose.
        person_id: Only what this person did or what concerned them; everything if empty.
        kind: Only of this kind; of every kind if empty.
        page: From 0, the newest; a page beyond the last one is the last.
    """
    where = [events.c.study == study]
    by = events.c.details["by"].as_string()
    where += [sa.or_(events.c.person_id == person_id, by == person_id)] if person_id else []
    where += [events.c.kind == kind] if kind else []
    query = sa.select(events, annotators.c.name).select_from(
        events.outerjoin(people, events.c.person_id == people.c.id).outerjoin(
            annotators, people.c.annotator_id == annotators.c.id
        )
    )
    query = query.where(*where).order_by(events.c.number.desc())
    with store.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(events).where(*where)).scalar_one()
        start = min(max(0, page), max(0, total - 1) // PAGE) * PAGE
        rows = connection.execute(query.limit(PAGE).offset(start)).all()
        names = _names(connection, {each for row in rows for each in ids_of(row.details)})
    return Trail(rows, [told(row, names) for row in rows], start + 1 if rows else 0, total)


def kinds_of(store: Store, study: str) -> list[str]:
    """Return the kinds of events that a study has."""
    query = sa.select(events.c.kind).where(events.c.study == study).distinct().order_by(events.c.kind)
    with store.reading() as connection:
        return list(connection.execute(query).scalars())


def _names(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return the pseudonyms of those ids that are people's."""
    query = sa.select(people.c.id, annotators.c.name).join_from(
        people, annotators, people.c.annotator_id == annotators.c.id
    )
    return {row.id: row.name for row in connection.execute(query.where(people.c.id.in_(sorted(ids))))}
