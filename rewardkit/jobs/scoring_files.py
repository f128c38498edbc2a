"""Rows to be scored, and scored rows: JSON Lines and Parquet files, and standard input as it arrives."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rewardkit import runs
from rewardkit.errors import DataError, OutputError
from rewardkit.paths import looked_in
from rewardkit.store.importing_readers import cannot_read, read_parquet

ROWS_AT_A_TIME = 256
BYTES_AT_A_TIME = 1 << 16
Row = dict[str, Any]
# A row with its line number; a line that is no row comes as the reason why.
Numbered = tuple[int, Row | str]
Chunk = list[Numbered]


def read_chunks(file: str) -> Iterator[Chunk]:
    """Yield the rows of a file, or of standard input ("-"), some at a time.

    Raises:
        DataError: The file is missing or cannot be read, or is no Parquet file where its name says so.
    """
    if file == "-":
        yield from _chunks_as_they_come(sys.stdin.buffer)
        return
    path = Path(file)
    try:
        if not path.is_file():
            raise DataError("no such file", where=file, fix=f"check the path{looked_in(file)} (- is standard input)")
        yield from _chunks(_parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path))
    except OSError as error:
        raise cannot_read(path, error) from error


def as_line(row: Row) -> bytes:
    """Return a row as a line of JSON in UTF-8.

    Raises:
        UnicodeEncodeError: A text is not valid Unicode.
    """
    # Parquet has dates and times, which JSON has not.
    return json.dumps(row, ensure_ascii=False, default=str).encode("utf-8") + b"\n"


def _chunks(rows: Iterator[Numbered]) -> Iterator[Chunk]:
    while chunk := list(islice(rows, ROWS_AT_A_TIME)):
        yield chunk


def _chunks_as_they_come(stream: Any) -> Iterator[Chunk]:
    """Yield what is there, so that whoever sends one row and waits for its answer gets it."""
    number, rest = 0, b""
    # read1 waits for the first bytes, and for no more.
    while block := stream.read1(BYTES_AT_A_TIME):
        *lines, rest = (rest + block).split(b"\n")
        yield from _chunks(_numbered_rows(enumerate(lines, start=number + 1)))
        number += len(lines)
    yield from _chunks(_numbered_rows([(number + 1, rest)]))


def _numbered_rows(lines: Iterable[tuple[int, bytes]]) -> Iterator[Numbered]:
    for number, line in lines:
        if line.strip():
            yield number, _row(line)


def _row(line: bytes) -> Row | str:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start})"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg}"
    # A number of thousands of digits, or brackets within thousands of brackets.
    except (ValueError, RecursionError) as error:
        return f"not JSON that can be read: {error}"
    return row if isinstance(row, dict) else "not a JSON object"


def _json_rows(path: Path) -> Iterator[Numbered]:
    with path.open("rb") as handle:
        yield from _numbered_rows(enumerate(handle, start=1))


def _parquet_rows(path: Path) -> Iterator[Numbered]:
    for row in read_parquet(path):
        yield row.line, row.problem if row.data is None else row.data


def check_place(out: Path, file: str, model_path: Path) -> None:
    """Refuse a place for scores where something would be destroyed.

    Raises:
        OutputError: It is the file that is scored, is a folder, or lies inside the model's.
    """
    what = ""
    # os.path takes a place that may not be looked at for absent, and the writer tells what is wrong with it.
    if os.path.isdir(out):
        what = "the place for the scores is a folder"
    elif os.path.exists(out) and os.path.exists(file) and os.path.samefile(out, file):
        what = "the scores would replace the file that is scored"
    elif Path(os.path.realpath(out)).is_relative_to(os.path.realpath(model_path)):
        what = "the scores would be written into the model's own folder"
    if what:
        raise OutputError(what, where=str(out), fix="name another file with --out")


def write_scores(rows: Iterable[Row], path: Path) -> dict[str, Any]:
    """Write scored rows as Parquet (by the name's ending) or JSON Lines; the file appears when it is whole.

    Returns:
        The counts of rows by status, and the file.

    Raises:
        DataError: A column holds values of different kinds, which Parquet has no place for.
        OutputError: The place cannot be written.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Row]:
        for row in rows:
            counts[row["status"]] += 1
            yield row

    write_rows(counted(), path)
    return {"file": str(path), **counts}


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as Parquet (by the name's ending) or JSON Lines; the file appears when it is whole.

    Raises:
        DataError: A column holds values of different kinds, which Parquet has no place for.
        OutputError: The place cannot be written.
    """
    with runs.atomic_writer(path) as file:
        if path.suffix == ".parquet":
            _write_parquet(rows, file, path)
        else:
            for row in rows:
                file.write(as_line(row))


def _write_parquet(rows: Iterable[Row], file: IO[bytes], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    # Rows of different kinds have different columns, so the table is made of all of them at once.
    found = list(rows)
    columns = dict.fromkeys(key for row in found for key in row)
    try:
        table = pyarrow.table({name: [row.get(name) for row in found] for name in columns})
        pyarrow.parquet.write_table(table, file)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise DataError(
            f"the rows cannot be written as Parquet: {error}",
            where=str(path),
            expected="one kind of value in each column",
            fix="write JSON Lines: --out NAME.jsonl",
        ) from error
