"""Rows of files, one by one: JSON Lines, JSON arrays, CSV, Parquet, Arrow, and folders of them.

A reader keeps one row (or one batch of a columnar file) in memory. A row that cannot be read is a `Row`
with a problem; reading goes on with the next one wherever the format lets it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from rewardkit.errors import DataError

CHUNK = 1 << 20
COLUMNAR_BATCH = 1_000
LONGEST_CELL = 1 << 26
NOT_SPACE = re.compile(r"[^ \t\r\n]")
DECODER = json.JSONDecoder()


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        line: Line of a text file, or number of the row, from 1.
        data: What was read, None where nothing could be.
        problem: Why it could not be read, or nothing.
        raw: The line of the file, where rows are lines; bytes, which are lean to keep.
    """

    line: int
    data: dict[str, Any] | None
    problem: str = ""
    raw: bytes | str = ""


Reader = Callable[[Path], Iterator[Row]]


def read_json(path: Path) -> Iterator[Row]:
    """Read JSON Lines, or one JSON array, gzipped or not."""
    with _opened(path) as file:
        first = file.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        yield from _json_array(file) if first == b"[" else _json_lines(file)


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _json_lines(file: Iterable[bytes]) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                data = orjson.loads(line)
            except orjson.JSONDecodeError:
                if line.strip():
                    yield _second_look(number, line)
                continue
            yield Row(number, data, raw=line) if type(data) is dict else Row(number, None, "not a JSON object", line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Row(number + 1, None, f"the compressed file is damaged from here on ({error})")


def _second_look(number: int, line: bytes) -> Row:
    """Say what is wrong with a line that the strict parser refused; NaN alone is left to the checks."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Row(number, None, f"not UTF-8 (byte {error.start + 1} of the line)", line)
    try:
        data = json.loads(text)
        orjson.dumps(data)
    except ValueError as error:
        return Row(number, None, f"not valid JSON: {error}", line)
    except (TypeError, RecursionError):
        return Row(number, None, "not valid JSON: a half of a surrogate pair, or too deep", line)
    if not isinstance(data, dict):
        return Row(number, None, "not a JSON object", line)
    return Row(number, data, raw=line)


def _json_array(file: gzip.GzipFile | io.BufferedReader) -> Iterator[Row]:
    """Read the items of one array; after a broken one the rest cannot be found."""
    decode = codecs.getincrementaldecoder("utf-8-sig")("strict")
    text, at, number, before, ended = "", 0, 1, "[", False
    while True:
        start = _skip(text, at)
        if text.startswith("]", start) or (before == "[" and text.startswith("]", _skip(text, start + 1))):
            return
        item, end, problem = _scan(text, start, before)
        # A value that touches the end of what was read may go on.
        if end and (end < len(text) or ended):
            yield (
                Row(number, item) if isinstance(item, dict) else Row(number, None, "not a JSON object", text[start:end])
            )
            at, number, before = end, number + 1, ","
            continue
        if ended or len(text) - start > LONGEST_CELL:
            yield Row(number, None, f"not valid JSON from here on: {problem}", text[start : start + 1000])
            return
        try:
            chunk = file.read(CHUNK)
            text, at, ended = text[start:] + decode.decode(chunk, final=not chunk), 0, not chunk
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield Row(number, None, f"not readable from here on: {error}")
            return


def _skip(text: str, at: int) -> int:
    """Return where the next letter stands that is not white space."""
    found = NOT_SPACE.search(text, at)
    return found.start() if found else len(text)


def _scan(text: str, start: int, before: str) -> tuple[Any, int, str]:
    """Return the item that follows a bracket or comma, where it ends (0 if it does not), and what is wrong."""
    if not text.startswith(before, start):
        return None, 0, f"{before!r} is missing"
    try:
        return *DECODER.raw_decode(text, _skip(text, start + 1)), ""
    except (ValueError, RecursionError) as error:
        return None, 0, str(error)


def read_csv(path: Path) -> Iterator[Row]:
    """Read CSV with a header; a line is where the row begins."""
    previous = csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _csv_rows(csv.reader(file, strict=True))
    finally:
        csv.field_size_limit(previous)


def _csv_rows(reader: Any) -> Iterator[Row]:
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(start, None, f"not valid CSV: {error}")
            continue
        if header is None:
            header = cells
        elif cells:
            yield _csv_row(start, header, cells)


def _csv_row(line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(line, None, f"{len(cells)} cells in a row of {len(header)} columns", ",".join(cells))
    if any(not cell.isprintable() and _escaped(cell) for cell in cells):
        return Row(line, None, "not UTF-8", ",".join(cells).encode("utf-8", "surrogateescape"))
    return Row(line, dict(zip(header, cells, strict=True)))


def _escaped(cell: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in cell)


def read_parquet(path: Path) -> Iterator[Row]:
    """Read a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _columnar(file.iter_batches(batch_size=COLUMNAR_BATCH))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from error


def read_arrow(path: Path) -> Iterator[Row]:
    """Read an Arrow stream, as `datasets` writes it, or an Arrow file."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            yield from _columnar(_arrow_batches(source))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Arrow", error) from error


def _arrow_batches(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    try:
        yield from pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        file = pa.ipc.open_file(source)
        for at in range(file.num_record_batches):
            yield file.get_batch(at)


def _columnar(batches: Iterator[Any]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, COLUMNAR_BATCH):
            for data in _python_rows(batch.slice(start, COLUMNAR_BATCH)):
                number += 1
                yield Row(number, None, data) if isinstance(data, str) else Row(number, data)


def _python_rows(batch: Any) -> list[dict[str, Any] | str]:
    """Return the rows of a batch; one that cannot be read is the reason why."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        return [_python_row(batch.slice(at, 1)) for at in range(batch.num_rows)]


def _python_row(batch: Any) -> dict[str, Any] | str:
    try:
        return dict(batch.to_pylist()[0])
    except UnicodeDecodeError:
        return "not UTF-8"
    except (ValueError, OverflowError) as error:
        # A date beyond the year 9999, for one.
        return f"a value cannot be read ({error})"


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno is not None:
        return cannot_read(path, error)
    # Damaged pages are OSErrors without a number.
    return DataError(
        f"not a readable {kind} file ({(str(error).splitlines() or [type(error).__name__])[0]})",
        where=str(path),
        fix="write the file again, or give it the ending of what it is",
    )


def cannot_read(path: Path, error: OSError) -> DataError:
    """Return the error for a file that the system does not let us read."""
    # pyarrow's own words for it name the path once more.
    reason = error if error.errno is None else os.strerror(error.errno)
    return DataError(f"the file cannot be read ({reason})", where=str(path), fix="check who may read it")


READERS: dict[str, Reader] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".jsonl.gz": read_json,
    ".json.gz": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
}
