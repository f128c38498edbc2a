"""The files of one annotator's shards, from what is asked to what is in the store."""

from __future__ import annotations

import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from rewardkit import runs
from rewardkit.jobs.cluster.unrecorded import Unrecorded, folder_of
from rewardkit.jobs.cluster.worker import Kind, ShardWork
from rewardkit.jobs.keeping import Kept
from rewardkit.judge.resuming import KeysInOrder
from rewardkit.progress import log
from rewardkit.store.inserting import insert, known
from rewardkit.store.record_tables import ROWS, read_rows
from rewardkit.store.rows import KINDS, Encoded
from rewardkit.store.store import Store
from rewardkit.types import Annotator

KEYS = {"labels": ("comparison_id", "order_shown", "repeat"), "ratings": ("response_id", "criterion", "repeat")}
Said = tuple[Path, Encoded]
"""A file, and a row in it."""


class ShardFolder:
    """A folder for what is asked, said and added, in the name of one annotator.

    Args:
        place: Of all annotators of the job.
        kind: What is made of its shards.
        annotator: In whose name.
    """

    def __init__(self, place: Path, kind: Kind, annotator: Annotator) -> None:
        # A name of its own for each run: a judge that outlives its job writes over nothing.
        self._place, self.kind, self._annotator = place / folder_of(annotator.id), kind, annotator
        self._run = uuid.uuid4().hex[:12]
        self.asked = self._place / f"asked-{self._run}"

    def said(self, shard: Path) -> Path:
        """Return the file for what is said about a shard."""
        return self._place / "said" / f"{self._run}-{shard.name}"

    def add(self, store: Store, work: ShardWork, kept: Kept) -> None:
        """Add what was said about a shard to the store; what was asked is done with."""
        self._insert(store, read_rows(self.kind, work.to), kept)
        self._added(work.to)
        work.shard.unlink()

    def add_what_was_said(self, store: Store, kept: Kept) -> None:
        """Add what judges said in runs that did not live to take it, and drop what these runs asked."""
        files = sorted((self._place / "said").glob("*.parquet"))
        rows = [(file, row) for file in files for row in read_rows(self.kind, file)]
        if rows:
            log(f"judge: {len(rows)} {self.kind} of an interrupted run are taken over")
            new, twice = self._parted(store, rows)
            self._insert(store, new, kept)
            self._tell(files, self._unknown(store, twice))
        for file in files:
            self._added(file)
        for draft in (self._place / "said").glob(".*.part"):
            draft.unlink(missing_ok=True)
        for folder in self._place.glob("asked-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Drop what was asked in this run."""
        shutil.rmtree(self.asked, ignore_errors=True)

    def _parted(self, store: Store, rows: list[Said]) -> tuple[list[Encoded], list[Said]]:
        """Return what is new, and what was asked twice, because it was not known that the first one was answered."""
        columns = KINDS[self.kind].columns
        key, status = itemgetter(*map(columns.index, KEYS[self.kind])), columns.index("status")
        # Of one item answers come first: a failure is asked again.
        rows = sorted(rows, key=lambda said: (str(key(said[1][1])[0]), said[1][1][status] == "failed"))
        there = KeysInOrder((store.rated if self.kind == "ratings" else store.labelled)(self._annotator.id))
        new, twice, seen = list[Encoded](), list[Said](), set[tuple[Any, ...]]()
        for file, row in rows:
            found = key(row[1])
            if found in there or found in seen:
                twice.append((file, row))
            else:
                new.append(row)
            seen.add(found)
        return new, twice

    def _unknown(self, store: Store, rows: list[Said]) -> Iterator[Said]:
        """Yield what is not in the store: what is may have been added before its file could be put away."""
        for start in range(0, len(rows), ROWS):
            batch = rows[start : start + ROWS]
            with store.reading() as connection:
                there = known(connection, self.kind, [row for _, (_, row) in batch])
            key_of = KINDS[self.kind].key_of
            yield from (said for said in batch if key_of(said[1][1]) not in there)

    def _tell(self, files: list[Path], untold: Iterable[Said]) -> None:
        """Drop what was noted as spent on files that are added, but for what was paid and is not in the store."""
        paid = defaultdict[Path, float](float)
        for file, (_, row) in untold:
            fields = dict(zip(KINDS[self.kind].columns, row, strict=True))
            cost = fields["cost"] if self.kind == "labels" else orjson.loads(fields["metadata"]).get("cost")
            paid[file] += cost or 0.0
        unrecorded = Unrecorded(self._place.parent)
        for file in files:
            unrecorded.told(unrecorded.key(file), paid[file])
        unrecorded.write()

    def _insert(self, store: Store, rows: Iterable[Encoded], kept: Kept) -> None:
        status, remaining = KINDS[self.kind].columns.index("status"), iter(rows)
        while batch := list(islice(remaining, ROWS)):
            store.add([self._annotator])
            with store.writing() as connection:
                insert(connection, batch)
            kept.counts.update(f"{self.kind} {row[status]}" for _, row in batch)
            kept.counts["annotators"] |= 1

    def _added(self, file: Path) -> None:
        runs.make_folder(self._place / "added")
        file.replace(self._place / "added" / file.name)
