"""A batch of rows and the transaction that writes it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.errors import DataError
from rewardkit.store.engine import classified
from rewardkit.store.importing_readers import Row
from rewardkit.store.inserting import Counts, insert
from rewardkit.store.rows import KINDS, Encoded
from rewardkit.store.store import Store
from rewardkit.store.tables import comparisons, external_ids

# Ids are hashes, so that a batch touches every page of every index: the larger it is, the fewer pages are
# written for each row. What is written at a million rows decides, and memory is the limit.
MOST_ROWS = 50_000
MOST_BYTES = 160_000_000
RECORD_BYTES = 450
LOOKUP = 5_000
ID, SPLIT = (KINDS["comparisons"].columns.index(name) for name in ("id", "split"))

Name = tuple[str, ...]
"""A row of `external_ids`: source, kind, external id, record id."""
Rejected = tuple[int, str, Any]
"""Line, reason and content of a row."""


class Batch:
    """Rows that wait to be written, and those that were rejected among them."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.shown: list[Any] = []
        self.names: list[Name | None] = []
        self.records: list[list[Encoded]] = []
        self.rejected: list[Rejected] = []
        self._bytes = 0

    def __len__(self) -> int:
        """Count the rows, rejected ones included."""
        return len(self.lines) + len(self.rejected)

    @property
    def full(self) -> bool:
        """Whether it is time to write: by rows, and by memory, since a row may carry long texts or many labels."""
        return len(self.lines) + len(self.rejected) >= MOST_ROWS or self._bytes >= MOST_BYTES

    def add(self, row: Row, records: list[Encoded]) -> None:
        """Add a good row; its own id, if it has one, is the last of its records."""
        name = records.pop()[1] if records[-1][0] == "external_ids" else None
        self.lines.append(row.line)
        self.shown.append(row.raw or row.data)
        self.names.append(name)
        self.records.append(records)
        # A line is kept, and so are the texts that it holds.
        texts = 2 * len(row.raw) if row.raw else _letters(records)
        self._bytes += RECORD_BYTES * len(records) + texts

    def reject(self, row: Row, problem: str) -> None:
        """Add a bad row."""
        self.rejected.append((row.line, problem, row.raw or row.data))
        self._bytes += RECORD_BYTES + len(row.raw)


def _letters(records: list[Encoded]) -> int:
    return sum(len(value) for _, values in records for value in values if isinstance(value, str))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from looking at every row of a batch: rows hold no cycles.

    Rejected rows leave some (an exception and its traceback), which are collected after the batch.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write(store: Store, batch: Batch, *, complete: bool) -> tuple[Counts, list[Rejected]]:
    """Write a batch in one transaction.

    Args:
        store: Where to.
        batch: What.
        complete: Every row comes with the records that it names.

    Returns:
        What was added, and the rejected rows by line.
    """
    try:
        with store.writing(complete=complete) as connection:
            counts, problems = _insert(connection, batch.names, batch.records)
    except DataError:
        # Some record cannot be stored; row by row we learn which.
        with store.writing() as connection:
            counts, problems = _insert_singly(connection, batch, store.where)
    late = [(batch.lines[at], problem, batch.shown[at]) for at, problem in problems.items()]
    return counts, sorted(batch.rejected + late, key=lambda rejected: rejected[0])


def _insert(
    connection: Connection, names: Sequence[Name | None], records: Sequence[list[Encoded]]
) -> tuple[Counts, dict[int, str]]:
    """Insert rows whose own ids and splits contradict nothing.

    Returns:
        What was added, and by position why a row was not.
    """
    problems = _other_splits(connection, records)
    # Such a row is told, and claims nothing: not even its own id.
    names = [None if at in problems else name for at, name in enumerate(names)] if problems else names
    first = {name[:3]: name for name in reversed(names) if name is not None}
    counts = insert(connection, [("external_ids", name) for name in first.values()])
    again = len(first) < sum(name is not None for name in names)
    if again or counts.known:
        stored = _stored(connection, first)
        for at, name in enumerate(names):
            if name is not None and stored[name[:3]] != name[3]:
                problems[at] = f"the id {name[2]!r} was given before to a {name[1]} with other content"
    if problems:
        records = [rows for at, rows in enumerate(records) if at not in problems]
    return counts + insert(connection, chain.from_iterable(records)), problems


def _insert_singly(connection: Connection, batch: Batch, where: str) -> tuple[Counts, dict[int, str]]:
    counts, problems = Counts(), {}
    for at in range(len(batch.records)):
        try:
            with classified(where), connection.begin_nested():
                more, found = _insert(connection, batch.names[at : at + 1], batch.records[at : at + 1])
        except DataError as error:
            problems[at] = error.what
            continue
        counts += more
        if found:
            problems[at] = found[0]
    return counts, problems


def _other_splits(connection: Connection, records: Sequence[list[Encoded]]) -> dict[int, str]:
    """Return, by position, why a row's split cannot be set: the first import of a comparison sets it.

    A split is no part of a comparison's id, so that the row would be passed over as known.
    """
    named = (values for rows in records for name, values in rows if name == "comparisons")
    wanted = sorted({values[ID] for values in named if values[SPLIT] is not None})
    if not wanted:
        return {}
    splits, problems = _stored_splits(connection, wanted), {}
    for at, values in ((at, row) for at, rows in enumerate(records) for name, row in rows if name == "comparisons"):
        before = splits.setdefault(values[ID], values[SPLIT])
        if values[SPLIT] not in (None, before):
            was = f"with the split {before!r}" if before else "without a split"
            problems[at] = f"the comparison was imported before {was}, and keeps that; a new database can take it"
    return problems


def _stored_splits(connection: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """Return the splits of those comparisons that are in the store."""
    stored: dict[str, str | None] = {}
    for start in range(0, len(ids), LOOKUP):
        chosen = comparisons.c.id.in_(ids[start : start + LOOKUP])
        query = sa.select(comparisons.c.id, comparisons.c.split).where(chosen)
        stored.update({key: split for key, split in connection.execute(query)})
    return stored


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
