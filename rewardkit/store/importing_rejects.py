"""The rejects file: every row that was not imported, with its line and the reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from rewardkit.errors import DataError, OutputError
from rewardkit.runs import atomic_writer

KEYS = ("file", "line", "reason", "row")
# Reasons that quote the row are as many as the rows: only so many are told apart.
MOST_REASONS = 1_000


@dataclass(frozen=True)
class LostFile:
    """A file of which no row was imported.

    Attributes:
        path: The file.
        rows: How many rows it has, all of them rejected.
        reason: The most frequent reason.
        times: How often it was the reason.
    """

    path: Path
    rows: int
    reason: str
    times: int


class Rejects:
    """Counts rejected rows and writes them as JSON Lines.

    Attributes:
        count: How many rows were rejected.
        lost: Files of which every row was.
        reason: The most frequent reason, with how often; nothing where no row was rejected.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0
        self.lost: list[LostFile] = []
        self._reasons: Counter[str] = Counter()
        self._all_reasons: Counter[str] = Counter()
        self._before = 0

    @property
    def reason(self) -> str:
        """The most frequent reason, with how often."""
        return "".join(f"{reason} ({times} times)" for reason, times in self._all_reasons.most_common(1))

    def end_of(self, file: Path, rows: int) -> None:
        """Note that a file of so many rows has been read to its end."""
        if rows and self.count - self._before == rows:
            ((reason, times),) = self._reasons.most_common(1)
            self.lost.append(LostFile(file, rows, reason, times))
        self._before = self.count
        self._all_reasons.update(dict(self._reasons.most_common(MOST_REASONS)))
        self._reasons.clear()

    def add(self, file: Path, line: int, reason: str, row: Any) -> None:
        """Write one rejected row."""
        self.count += 1
        if reason in self._reasons or len(self._reasons) < MOST_REASONS:
            self._reasons[reason] += 1
        entry = {"file": str(file), "line": line, "reason": reason, "row": _readable(row)}
        try:
            self._file.write(orjson.dumps(entry) + b"\n")
        except TypeError:
            # What orjson refuses (halves of surrogate pairs, huge numbers) is often why a row is here.
            self._file.write(json.dumps(entry, default=str).encode() + b"\n")


def _readable(row: Any) -> Any:
    """Return a row as JSON where it is, and otherwise as text."""
    if not isinstance(row, bytes):
        return row
    text = row.strip().decode("utf-8", "backslashreplace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@contextmanager
def open_rejects(path: Path, inputs: Sequence[Path] = ()) -> Iterator[Rejects]:
    """Open the rejects file, which appears when all is read, and only if a row was rejected.

    Args:
        path: Where; an earlier rejects file there is replaced, or goes if nothing is rejected.
        inputs: The files that are imported.

    Raises:
        OutputError: The place cannot be written, or holds something else; nothing has been read yet.
    """
    check_place(path, inputs)
    with atomic_writer(path) as file:
        rejects = Rejects(file)
        yield rejects
    if not rejects.count:
        path.unlink()


def check_place(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse a place for rejects where something would be destroyed.

    Raises:
        OutputError: It is one of the files that are imported, or exists and is no earlier rejects file.
    """
    fix = "name another place for the rejected rows with --rejects"
    try:
        if not path.exists():
            return
        if any(path.samefile(file) for file in inputs):
            raise OutputError("the rejected rows would replace a file that is imported", where=str(path), fix=fix)
        earlier = path.is_file() and _holds_rejects(path)
    except OSError as error:
        problem = f"the place for the rejected rows cannot be looked at ({error.strerror or error})"
        raise OutputError(problem, where=str(path), fix=fix) from error
    if not earlier:
        raise OutputError(
            "the rejected rows would replace what is there",
            where=str(path),
            expected="no file, or the rejects of an earlier import",
            fix=fix,
        )


def _holds_rejects(path: Path) -> bool:
    """Tell whether the first line of a file is that of a rejected row."""
    start = b'{"file":'
    with path.open("rb") as file:
        # The line of a file that is something else may have no end.
        if file.read(len(start)) != start:
            return False
        try:
            entry = json.loads(start + file.readline())
        except (ValueError, RecursionError):
            return False
    return isinstance(entry, dict) and entry.keys() == set(KEYS)


def refuse_lost(lost: Sequence[LostFile], rejects: Path) -> None:
    """Refuse to call an import done of which a file brought nothing.

    Raises:
        DataError: Every row of a file was rejected. The rows of other files are in the store.
    """
    if not lost:
        return
    first, more = lost[0], len(lost) - 1
    others = f"; so {'was' if more == 1 else 'were'} every row of {more} more file{'s' * (more > 1)}" if more else ""
    raise DataError(
        f"every row was rejected ({first.rows}), most often ({first.times}) because: {first.reason}{others}",
        where=str(first.path),
        expected="at least one row that can be imported; good rows of other files are in the database",
        fix=f"see the rejected rows in {rejects}",
    )
