"""Import: files of comparisons, labels and ratings into the store.

Rows are read, checked and committed in batches: memory is flat, a process that is killed loses at most
the batch in hand, and importing again adds what is missing and nothing else. A bad row goes to the
rejects file; a file that is not understood at all stops the import before anything is written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rewardkit.complaints import complaint
from rewardkit.config import ImportConfig
from rewardkit.errors import DataError
from rewardkit.progress import Advance, log, progress
from rewardkit.store.importing_batches import Batch, collector_paused, write
from rewardkit.store.importing_detect import Plan, missing_columns, plan_import, renamed
from rewardkit.store.importing_files import count_rows, read_rows
from rewardkit.store.importing_pairs import form_pairs
from rewardkit.store.importing_readers import Row
from rewardkit.store.importing_rejects import Rejects, open_rejects, refuse_lost
from rewardkit.store.importing_rows import RowContext, RowError, words_of
from rewardkit.store.inserting import Counts
from rewardkit.store.rows import Encoded
from rewardkit.store.store import Store


@dataclass(frozen=True)
class ImportSummary:
    """What became of some files.

    Attributes:
        added: New records by kind ("comparisons", "labels", …).
        known: Records that were there already, or came again, by kind; annotators count once a file.
        rejected: How many rows were rejected.
        rejects: Where they are; None where there are none.
        seconds: How long it took.
        alone: Rated responses that are in no pair, each being the only one to its prompt.
        reason: The most frequent reason for a rejection, with how often.
    """

    added: Mapping[str, int]
    known: Mapping[str, int]
    rejected: int
    rejects: Path | None
    seconds: float
    alone: int = 0
    reason: str = ""

    @property
    def comparisons_per_second(self) -> float:
        """How many comparisons were read in a second."""
        count = self.added.get("comparisons", 0) + self.known.get("comparisons", 0)
        return count / self.seconds if self.seconds else 0.0


def import_files(store: Store, files: Sequence[str | Path], options: ImportConfig, *, rejects: Path) -> ImportSummary:
    """Read files into the store.

    Args:
        store: Where the records go.
        files: Files, folders of files, data sets saved by `datasets`.
        options: Column names, source, task, and whether pairs are formed from ratings.
        rejects: Where rejected rows are written; the file is absent when there are none.

    Raises:
        DataError: A file is missing or of no known format, and nothing has been written; or every row of
            a file was rejected, and the rejects file and the good rows of other files have been.
        OutputError: The rejects file or the database cannot be written, or the place of the rejects file
            holds something else.
    """
    start = time.monotonic()
    plans = plan_import(files, options.source, options.map)
    counts, alone = Counts(), 0
    inputs = [plan.path for plan in plans]
    rows = [count_rows(path) for path in inputs]
    total = None if None in rows else sum(filter(None, rows))
    for plan in plans:
        for remark in plan.remarks():
            log(f"import: {plan.path.name}: {remark}")
    with open_rejects(rejects, inputs) as rejected, progress("import", total) as advance:
        for plan in plans:
            counts += _FileImport(store, plan, rejected, options.task).run(advance)
    # Both may refuse, and the rejected rows are to be seen then too.
    refuse_lost(rejected.lost, rejects)
    if options.pairs:
        source = "+".join(dict.fromkeys(plan.source for plan in plans))
        pairs = form_pairs(store, options.pairs, source)
        counts, alone = counts + pairs.counts, pairs.alone
    if alone:
        log(f"import: {alone} rated responses are in no pair: each is the only one rated to its prompt")
    place = rejects if rejected.count else None
    seconds = time.monotonic() - start
    return ImportSummary(counts.added, counts.known, rejected.count, place, seconds, alone, rejected.reason)


@dataclass
class _FileImport:
    """The import of one file."""

    store: Store
    plan: Plan
    rejects: Rejects
    task: str | None

    def run(self, advance: Advance) -> Counts:
        """Import all rows."""
        counts, rows, read = Counts(), self._rows(), 0
        context = RowContext(self.plan.source, self.task, words_of(self.plan.columns))
        while batch := self._batch(rows, context):
            more, rejected = write(self.store, batch, complete=self.plan.format.complete)
            counts += more
            for line, problem, shown in rejected:
                self.rejects.add(self.plan.path, line, problem, shown)
            read += len(batch)
            advance(len(batch), self.plan.path.name)
        self.rejects.end_of(self.plan.path, read)
        return _once_each(counts, len({row for _, row in context.annotators.values()}))

    def _batch(self, rows: Iterator[Row], context: RowContext) -> Batch:
        batch = Batch()
        with collector_paused():
            for row in rows:
                try:
                    batch.add(row, self._encoded(row, context))
                except RowError as error:
                    batch.reject(row, str(error))
                except ValidationError as error:
                    batch.reject(row, _first_complaint(error))
                except DataError as error:
                    batch.reject(row, error.what)
                if batch.full:
                    break
        return batch

    def _rows(self) -> Iterator[Row]:
        line = 0
        try:
            for row in read_rows(self.plan.path):
                line = row.line
                yield row
        except DataError as error:
            yield Row(line + 1, None, f"{error.what}; nothing after this row was read")

    def _encoded(self, row: Row, context: RowContext) -> list[Encoded]:
        data = row.data
        if data is None:
            raise RowError(row.problem)
        if self.plan.columns:
            data = renamed(data, self.plan.columns)
        missing = missing_columns(data, self.plan.format)
        if missing:
            raise RowError(missing)
        return self.plan.format.parse(data, context)


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {complaint(first)}" if where else complaint(first)


def _once_each(counts: Counts, annotators: int) -> Counts:
    """Count an annotator once, however many rows name it."""
    if not annotators:
        return counts
    known: Counter[str] = Counter(counts.known)
    known["annotators"] = annotators - counts.added.get("annotators", 0)
    return Counts(counts.added, dict(+known))
