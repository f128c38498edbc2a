"""The store: every record of a workspace, in one database.

Records are added, never changed: the same record added twice is there once, and a label that supersedes
another hides it from `labels()` and keeps it. Iterators read page by page in the order of ids, hold no
transaction while the caller works, and may be left at any time.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from rewardkit.store import tables
from rewardkit.store.engine import SIDE_FILES, classified, create_engine, reading, writing
from rewardkit.store.inserting import Counts, insert
from rewardkit.store.rows import KINDS, ComparisonTexts, encode
from rewardkit.store.schema import migrate
from rewardkit.store.spooling import spooled
from rewardkit.types import Annotator, Label, Prompt, Record, Response

BATCH = 5_000
PAGE = 1_000


class Store:
    """An open database. Use `Store.open`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine, self.where = engine, where
        # SQLite lets a second writer wait by trying again every so often; threads of one process queue instead.
        self._one_writer = threading.RLock() if engine.dialect.name == "sqlite" else nullcontext()

    @classmethod
    def open(cls, target: str | Path, *, create: bool = True) -> Store:
        """Open a database, creating or upgrading its tables.

        Args:
            target: A SQLite file, or a URL such as `postgresql://user@host/name`.
            create: Make the file and the tables where there are none.

        Raises:
            NoDatabaseError: It is missing or empty, and may not be made.
            StoreError: It is foreign, newer than the code, or unreachable.
            OutputError: It cannot be written.
            MissingExtraError: The driver for PostgreSQL is not installed.

        Example:
            >>> with Store.open("rewardkit.db") as store:  # doctest: +SKIP
            ...     store.counts()
        """
        engine, where = create_engine(target, create=create)
        try:
            with classified(where):
                migrate(engine, where, create=create)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, where)

    @property
    def url(self) -> str:
        """By which another process opens the same database; it may hold a password."""
        return self._engine.url.render_as_string(hide_password=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The database's file and those that SQLite keeps beside it, links resolved; none of a server."""
        if self._engine.dialect.name != "sqlite":
            return ()
        path = Path(self._engine.url.database or "").resolve()
        return path, *(path.with_name(path.name + ending) for ending in SIDE_FILES)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        """Return the store, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    @contextmanager
    def writing(self, *, complete: bool = False) -> Iterator[Connection]:
        """Open a transaction that writes; it is committed at the end of the block, or leaves nothing.

        Args:
            complete: Every record comes with those that it names, so that SQLite need not look them up
                (a third of the time of an import).

        Raises:
            UserError: The database refuses (see `rewardkit.store.engine.classified`).
        """
        with self._one_writer, classified(self.where), writing(self._engine, complete=complete) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that reads one state of the database."""
        with classified(self.where), reading(self._engine) as connection:
            yield connection

    def add(self, records: Iterable[Record]) -> Counts:
        """Add records that are not there yet.

        Batches of some thousand are committed one by one: what was committed stays if a later one fails,
        and adding everything again completes it. Within a batch the order is free; across batches a
        record comes after those that it names.

        Args:
            records: Prompts, responses, comparisons, annotators, labels, ratings, external ids.

        Raises:
            DataError: A record names another that is not in the store, or cannot be stored.
        """
        counts = Counts()
        iterator = iter(records)
        while batch := list(islice(iterator, BATCH)):
            with self.writing() as connection:
                counts += insert(connection, map(encode, batch))
        return counts

    def prompts(self) -> Iterator[Prompt]:
        """Iterate over all prompts, by id."""
        return self.records("prompts")

    def responses(self) -> Iterator[Response]:
        """Iterate over all responses, by id."""
        return self.records("responses")

    def annotators(self) -> dict[str, Annotator]:
        """Return all annotators, by id."""
        return {annotator.id: annotator for annotator in self.records("annotators")}

    def ids(self, name: str) -> Iterator[str]:
        """Iterate over the ids of all records of a kind that has ids of its own, in their order.

        Args:
            name: A kind ("comparisons", "responses", …), as in `counts()`.
        """
        table = KINDS[name].table
        for (found,) in self._pages(sa.select(table.c.id), (table.c.id,), size=10 * PAGE):
            yield found

    def comparisons(self, ids: Iterable[str] | None = None) -> Iterator[ComparisonTexts]:
        """Iterate over comparisons with their texts, by id.

        Args:
            ids: Which, in their order; those that are not there are left out. All if absent.
        """
        c, p = tables.comparisons, tables.prompts
        a, b = tables.responses.alias("a"), tables.responses.alias("b")
        query = (
            sa.select(c, p, a, b)
            .join_from(c, p, c.c.prompt_id == p.c.id)
            .join(a, c.c.response_a == a.c.id)
            .join(b, c.c.response_b == b.c.id)
        )
        for row in self._pages(query, (c.c.id,)) if ids is None else self._chosen(query, c.c.id, ids):
            yield _comparison_texts(row)

    def responses_with_prompts(self) -> Iterator[tuple[Response, Prompt]]:
        """Iterate over all responses, each with what it answers, by id."""
        r, p = tables.responses, tables.prompts
        width = len(r.columns)
        for row in self._pages(sa.select(r, p).join_from(r, p, r.c.prompt_id == p.c.id), (r.c.id,)):
            yield KINDS["responses"].decode(row[:width]), KINDS["prompts"].decode(row[width:])

    def labels(self, *, superseded: bool = False) -> Iterator[Label]:
        """Iterate over labels, by comparison, then by id.

        Args:
            superseded: Also the versions that a later one has replaced.
        """
        table, later = tables.labels, tables.labels.alias("later")
        query = sa.select(table)
        if not superseded:
            query = query.where(~sa.exists().where(later.c.supersedes == table.c.id))
        for row in self._pages(query, (table.c.comparison_id, table.c.id)):
            yield KINDS["labels"].decode(row)

    def counts(self) -> dict[str, int]:
        """Return how many records of each kind there are, superseded labels included."""
        with self.reading() as connection:
            return {
                name: connection.execute(sa.select(sa.func.count()).select_from(kind.table)).scalar_one()
                for name, kind in KINDS.items()
            }

    def digest(self, *kinds: str) -> str:
        """Hash the ids of all records of some kinds: it changes when, and only when, a record is added.

        A split that was set is hashed too: it decides what is trained on, and is not in the id.

        Args:
            kinds: Names of kinds ("comparisons", "labels", …), as in `counts()`.
        """
        digest = hashlib.sha256()
        for name in kinds:
            key = tuple(KINDS[name].table.primary_key.columns)
            hashed = (*key, tables.comparisons.c.split) if name == "comparisons" else key
            digest.update(f"{name}\n".encode())
            for row in self._pages(sa.select(*hashed), key, size=10 * PAGE):
                digest.update(("\t".join(part for part in row if part is not None) + "\n").encode())
        return digest.hexdigest()

    def labelled(self, annotator_id: str) -> Iterator[tuple[str, str | None, int]]:
        """Iterate over (comparison, order shown, repeat) of an annotator's labels, by comparison.

        Failed ones are left out: ask again.
        """
        table = tables.labels
        query = sa.select(table.c.comparison_id, table.c.id, table.c.order_shown, table.c.repeat)
        query = query.where(_answered(table, annotator_id))
        for comparison, _, order, repeat in self._pages(query, (table.c.comparison_id, table.c.id), size=10 * PAGE):
            yield comparison, order, repeat

    def rated(self, annotator_id: str) -> Iterator[tuple[str, str, int]]:
        """Iterate over (response, criterion, repeat) of an annotator's ratings, by response; not of failed ones."""
        table = tables.ratings
        query = sa.select(table.c.response_id, table.c.criterion, table.c.repeat)
        query = query.where(_answered(table, annotator_id)).order_by(table.c.response_id)
        yield from spooled(self.reading(), query)

    def spent(self, annotator_id: str) -> float:
        """Return what the labels and ratings of a judge cost."""
        labels, ratings = tables.labels, tables.ratings
        cost = ratings.c.metadata["cost"].as_float()
        sums = (
            sa.select(sa.func.sum(labels.c.cost)).where(labels.c.annotator_id == annotator_id),
            sa.select(sa.func.sum(cost)).where(ratings.c.annotator_id == annotator_id),
        )
        with self.reading() as connection:
            return float(sum(connection.execute(each).scalar_one() or 0.0 for each in sums))

    def records(self, name: str) -> Iterator[Any]:
        """Iterate over all records of a kind, by id (labels: every version).

        Args:
            name: A kind ("prompts", "labels", …), as in `counts()`.
        """
        kind = KINDS[name]
        for row in self._pages(sa.select(kind.table), tuple(kind.table.primary_key.columns)):
            yield kind.decode(row)

    def _pages(
        self, query: sa.Select[Any], key: tuple[sa.ColumnElement[Any], ...], *, size: int = PAGE
    ) -> Iterator[Sequence[Any]]:
        """Yield the rows of a query in the order of a unique key, one short transaction a page."""
        query = query.order_by(*key).limit(size)
        page = query
        while True:
            with self.reading() as connection:
                rows = connection.execute(page).all()
            yield from rows
            if len(rows) < size:
                return
            last = rows[-1]._mapping
            page = query.where(sa.tuple_(*key) > sa.tuple_(*(last[column] for column in key)))

    def _chosen(self, query: sa.Select[Any], key: sa.ColumnElement[Any], ids: Iterable[str]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a query that some ids (in their order) name, one short transaction a page."""
        query, remaining = query.order_by(key), iter(ids)
        while page := list(islice(remaining, PAGE)):
            with self.reading() as connection:
                rows = connection.execute(query.where(key.in_(page))).all()
            yield from rows


def _answered(table: sa.Table, annotator_id: str) -> sa.ColumnElement[bool]:
    return (table.c.annotator_id == annotator_id) & (table.c.status != "failed")


def _comparison_texts(row: Sequence[Any]) -> ComparisonTexts:
    names = ("comparisons", "prompts", "responses", "responses")
    parts, start = [], 0
    for name in names:
        end = start + len(KINDS[name].columns)
        parts.append(KINDS[name].decode(row[start:end]))
        start = end
    comparison, prompt, response_a, response_b = parts
    return ComparisonTexts(comparison=comparison, prompt=prompt, response_a=response_a, response_b=response_b)
