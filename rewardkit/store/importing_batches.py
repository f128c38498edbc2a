"""A batch of rows and the transaction that writes it.

A batch holds plain tuples of texts and numbers, which the garbage collector passes by: with a hundred
thousand records in hand it would otherwise cost as much as the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.errors import DataError
from rewardkit.store.engine import classified
from rewardkit.store.importing_readers import Row
from rewardkit.store.rows import Encoded
from rewardkit.store.store import Counts, Store, insert
from rewardkit.store.tables import external_ids

MOST_ROWS = 10_000
MOST_RECORDS = 100_000
LOOKUP = 5_000

Name = tuple[str, ...]
"""A row of `external_ids`: source, kind, external id, record id."""
Rejected = tuple[int, str, Any]
"""Line, reason and content of a row."""


class Batch:
    """Rows that wait to be written, and those that were rejected among them."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.shown: list[Any] = []
        self.records: list[tuple[Encoded, ...]] = []
        self.rejected: list[Rejected] = []
        self._count = 0

    def __len__(self) -> int:
        """Count the rows, rejected ones included."""
        return len(self.lines) + len(self.rejected)

    @property
    def full(self) -> bool:
        """Whether it is time to write: a row may carry a hundred labels."""
        return len(self) >= MOST_ROWS or self._count >= MOST_RECORDS

    def add(self, row: Row, records: tuple[Encoded, ...]) -> None:
        """Add a good row; its own id, if it has one, is the last of its records."""
        self.lines.append(row.line)
        self.shown.append(row.shown)
        self.records.append(records)
        self._count += len(records)

    def reject(self, row: Row, problem: str) -> None:
        """Add a bad row."""
        self.rejected.append((row.line, problem, row.shown))

    def name(self, at: int) -> Name | None:
        """Return the own id of a row."""
        table, values = self.records[at][-1]
        return values if table == "external_ids" else None

    def names(self) -> Iterator[tuple[int, Name]]:
        """Iterate over the rows that have an id of their own."""
        for at in range(len(self.records)):
            name = self.name(at)
            if name is not None:
                yield at, name


def write(store: Store, batch: Batch) -> tuple[Counts, list[Rejected]]:
    """Write a batch in one transaction.

    Returns:
        What was added, and the rejected rows by line.
    """
    everything = range(len(batch.records))
    try:
        with store.writing() as connection:
            counts, problems = _insert(connection, batch, everything)
    except DataError:
        # Some record cannot be stored; row by row we learn which.
        with store.writing() as connection:
            counts, problems = _insert_singly(connection, batch, store.where)
    late = [(batch.lines[at], problem, batch.shown[at]) for at, problem in problems.items()]
    return counts, sorted(batch.rejected + late, key=lambda rejected: rejected[0])


def _insert(connection: Connection, batch: Batch, chosen: range) -> tuple[Counts, dict[int, str]]:
    named = {at: name for at, name in batch.names() if at in chosen}
    first: dict[Name, Name] = {}
    problems = {at: _problem(name) for at, name in named.items() if first.setdefault(name[:3], name) != name}
    counts = insert(connection, (("external_ids", name) for name in first.values()))
    if counts.known:
        stored = _stored(connection, first)
        problems |= {at: _problem(name) for at, name in named.items() if stored[name[:3]] != name[3]}
    rows = (row for at in chosen if at not in problems for row in batch.records[at] if row[0] != "external_ids")
    return counts + insert(connection, rows), problems


def _insert_singly(connection: Connection, batch: Batch, where: str) -> tuple[Counts, dict[int, str]]:
    counts, problems = Counts(), {}
    for at in range(len(batch.records)):
        try:
            with classified(where), connection.begin_nested():
                more, found = _insert(connection, batch, range(at, at + 1))
        except DataError as error:
            problems[at] = error.what
            continue
        counts += more
        problems |= found
    return counts, problems


def _stored(connection: Connection, names: Mapping[Name, Name]) -> dict[Name, str]:
    """Return the record that each name stands for in the store."""
    stored: dict[Name, str] = {}
    for source, kind in {name[:2] for name in names}:
        wanted = sorted(name[2] for name in names if name[:2] == (source, kind))
        for start in range(0, len(wanted), LOOKUP):
            query = sa.select(external_ids.c.external_id, external_ids.c.record_id).where(
                external_ids.c.source == source,
                external_ids.c.kind == kind,
                external_ids.c.external_id.in_(wanted[start : start + LOOKUP]),
            )
            stored.update({(source, kind, name): record for name, record in connection.execute(query)})
    return stored


def _problem(name: Name) -> str:
    return f"the id {name[2]!r} was given before to a {name[1]} with other content"
