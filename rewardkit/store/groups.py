"""Comparisons that share a group: read group by group, so that one of them at a time is in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from rewardkit.store import tables
from rewardkit.store.store import Store

PAGE = 10_000
GroupKey = tuple[str, str]
"""Name of a group, and the prompt that its responses answer: a name that two prompts share is two groups."""


@dataclass(frozen=True)
class Group:
    """A group of comparisons.

    Attributes:
        key: Which one.
        comparisons: Ids, in their order.
    """

    key: GroupKey
    comparisons: tuple[str, ...]


def groups(store: Store, leaving_out: Collection[GroupKey] = ()) -> Iterator[Group]:
    """Iterate over groups, by name.

    Args:
        store: Where they are.
        leaving_out: Those that are not wanted.
    """
    c = tables.comparisons.c
    query = sa.select(c.group, c.prompt_id, c.id).where(c.group.is_not(None))
    for (name, prompt_id), rows in groupby(_pages(store, query, query.selected_columns), key=lambda row: row[:2]):
        if (name, prompt_id) not in leaving_out:
            yield Group((name, prompt_id), tuple(row[2] for row in rows))


def large_groups(store: Store, most: int) -> frozenset[GroupKey]:
    """Return which groups compare more responses than `most`."""
    c = tables.comparisons.c
    sides = [sa.select(c.group, c.prompt_id, side.label("side")) for side in (c.response_a, c.response_b)]
    # A union counts each response once.
    shown = sa.union(*(each.where(c.group.is_not(None)) for each in sides)).subquery()
    key = shown.c.group, shown.c.prompt_id
    query = sa.select(*key).group_by(*key).having(sa.func.count() > most)
    with store.reading() as connection:
        return frozenset((name, prompt_id) for name, prompt_id in connection.execute(query))


def outside_groups(store: Store, besides: Collection[GroupKey] = ()) -> Iterator[str]:
    """Iterate over the ids of comparisons that have no group, in their order.

    Args:
        store: Where they are.
        besides: Groups whose comparisons are wanted too.
    """
    c = tables.comparisons.c
    for found, name, prompt_id in _pages(store, sa.select(c.id, c.group, c.prompt_id), (c.id,)):
        if name is None or (name, prompt_id) in besides:
            yield found


def labelled_of(store: Store, annotator_id: str, comparisons: Collection[str]) -> set[tuple[str, str | None, int]]:
    """Return (comparison, order shown, repeat) of an annotator's labels of some comparisons; failed ones: ask again."""
    c = tables.labels.c
    query = sa.select(c.comparison_id, c.order_shown, c.repeat).where(
        c.comparison_id.in_(comparisons), c.annotator_id == annotator_id, c.status != "failed"
    )
    with store.reading() as connection:
        return {(comparison, order, repeat) for comparison, order, repeat in connection.execute(query)}


def _pages(store: Store, query: sa.Select[Any], key: Iterable[sa.ColumnElement[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield rows in the order of a unique key that is among their columns, one short transaction a page."""
    columns = tuple(key)
    page = query = query.order_by(*columns).limit(PAGE)
    while True:
        with store.reading() as connection:
            rows = connection.execute(page).all()
        yield from map(tuple, rows)
        if len(rows) < PAGE:
            return
        last = rows[-1]._mapping
        page = query.where(sa.tuple_(*columns) > sa.tuple_(*(last[column] for column in columns)))
