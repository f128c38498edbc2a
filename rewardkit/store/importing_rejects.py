"""The rejects file: every row that was not imported, with its line and the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from rewardkit.runs import atomic_writer


class Rejects:
    """Counts rejected rows and writes them as JSON Lines."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def add(self, file: Path, line: int, reason: str, row: Any) -> None:
        """Write one rejected row."""
        self.count += 1
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
def open_rejects(path: Path) -> Iterator[Rejects]:
    """Open the rejects file, which appears when all is read, and only if a row was rejected.

    Raises:
        OutputError: The place cannot be written; nothing has been read yet.
    """
    with atomic_writer(path) as file:
        rejects = Rejects(file)
        yield rejects
    if not rejects.count:
        path.unlink()
