"""Rows that are not there yet into the tables, in one transaction of the caller's, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.store.rows import KINDS, Encoded, Kind

STATEMENT_VALUES = 1_000
"""Values in one statement: measured; SQLite allows 32,766."""


@dataclass(frozen=True)
class Counts:
    """What became of records that were offered to the store.

    Attributes:
        added: New records, by kind ("prompts", "labels", …).
        known: Records that were there already, or came more than once, by kind.
    """

    added: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        """Sum two counts kind by kind."""
        return Counts(
            dict(Counter(self.added) + Counter(other.added)), dict(Counter(self.known) + Counter(other.known))
        )


def insert(connection: Connection, rows: Iterable[Encoded]) -> Counts:
    """Insert rows that are not there yet, within the caller's transaction."""
    lists: dict[str, list[tuple[Any, ...]]] = {name: [] for name in KINDS}
    for name, row in rows:
        lists[name].append(row)
    added: dict[str, int] = {}
    for name, kind in KINDS.items():
        if lists[name]:
            rows_ = lists[name][::-1]
            # Of the same record given twice the first counts, as it would across batches.
            unique = dict(zip(map(kind.key_of, rows_), rows_, strict=True))
            # In the order of their ids: neighbours share index pages, and two writers cannot deadlock.
            added[name] = _execute(connection, kind, [unique[key] for key in sorted(unique)])
    known = {name: len(lists[name]) - count for name, count in added.items()}
    return Counts(added, {name: count for name, count in known.items() if count})


def known(connection: Connection, name: str, rows: Sequence[tuple[Any, ...]]) -> set[Any]:
    """Return the primary keys of those of a kind's rows that are there."""
    kind, found = KINDS[name], set[Any]()
    columns = list(kind.table.primary_key)
    size = STATEMENT_VALUES // len(columns)
    for start in range(0, len(rows), size):
        keys = [kind.key_of(row) for row in rows[start : start + size]]
        named = sa.tuple_(*columns).in_(keys) if len(columns) > 1 else columns[0].in_(keys)
        there = connection.execute(sa.select(*columns).where(named))
        found.update(tuple(row) if len(columns) > 1 else row[0] for row in there)
    return found


def _execute(connection: Connection, kind: Kind, batch: list[tuple[Any, ...]]) -> int:
    """Insert rows, and return how many were new."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(kind.insert("%s"), batch).rowcount
    # SQLite takes many rows in one step, which costs less than as many steps.
    size = min(STATEMENT_VALUES // len(kind.columns), len(batch))
    statement, whole, added = kind.insert("?", size), len(batch) // size * size, 0
    for start in range(0, whole, size):
        values = tuple(chain.from_iterable(batch[start : start + size]))
        added += connection.exec_driver_sql(statement, values).rowcount
    if whole < len(batch):
        added += connection.exec_driver_sql(kind.insert("?"), batch[whole:]).rowcount
    return added
