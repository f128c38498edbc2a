"""Which files an import reads: a file is itself, a folder is its data files or a saved data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from rewardkit.errors import DataError
from rewardkit.paths import looked_in
from rewardkit.store.importing_readers import CHUNK, READERS, Row, cannot_read

INDEX = "dataset_dict.json"
STATE = "state.json"
# Files with about one row a line: a CSV's header is one more, and its cells may hold lines.
LINES = {".jsonl", ".ndjson", ".csv"}
DESCRIPTIONS = {INDEX, STATE, "dataset_info.json"}
# Tables of an exported dataset.
LABELS, MAJORITIES = "labels.parquet", "preferences.parquet"


@dataclass(frozen=True)
class Source:
    """Some files that hold one data set.

    Attributes:
        name: What its comparisons are said to come from.
        paths: The files, in the order in which they are read.
    """

    name: str
    paths: tuple[Path, ...]


def find_source(given: str | Path, name: str | None = None) -> Source:
    """Return the files that a path stands for.

    Args:
        given: A file, a folder of data files, or a folder written by `datasets.save_to_disk`.
        name: The data set's name; the stem of the file or folder if absent.

    Raises:
        DataError: There is no such file, or it is of no known type.
    """
    path = Path(given)
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), fix=f"check the path{looked_in(path)}")
    paths = tuple(_data_files(path)) if path.is_dir() else (path,)
    for file in paths:
        if _suffix(file) not in READERS:
            raise DataError("the type of the file is not known", where=str(file), expected=", ".join(READERS))
    if not paths:
        raise DataError("the folder holds no data files", where=str(path), expected=", ".join(READERS))
    stem = path.name if path.is_dir() else path.name.removesuffix(_suffix(path))
    return Source(name or stem or path.resolve().name, paths)


def read_rows(path: Path) -> Iterator[Row]:
    """Iterate over the rows of one file.

    Raises:
        DataError: It cannot be opened, or is not what its name says.
    """
    try:
        yield from READERS[_suffix(path)](path)
    except OSError as error:
        raise cannot_read(path, error) from error


def count_rows(path: Path) -> int | None:
    """Return about how many rows a file has where that is quickly known; read_rows says what cannot be read."""
    suffix = _suffix(path)
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                return int(file.metadata.num_rows)
        return _count_lines(path) if suffix in LINES else None
    except (OSError, ValueError):
        return None


def _count_lines(path: Path) -> int:
    with path.open("rb", buffering=0) as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b""))


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in sorted(READERS, key=len, reverse=True) if name.endswith(suffix)), "")


def _data_files(folder: Path) -> Iterator[Path]:
    if (folder / INDEX).exists():
        for split in _description(folder / INDEX, "splits"):
            yield from _data_files(_inside(folder, split))
    elif (folder / STATE).exists():
        for entry in _description(folder / STATE, "_data_files"):
            yield _inside(folder, entry["filename"] if isinstance(entry, dict) else entry)
    else:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name not in DESCRIPTIONS)
        found = {path for path in files if _suffix(path) and not path.name.startswith(".")}
        # Of a folder that rewardkit exported: what the majority said is no further label.
        yield from sorted(path for path in found if path.name != MAJORITIES or path.with_name(LABELS) not in found)


def _description(path: Path, key: str) -> list[object]:
    try:
        value = orjson.loads(path.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("the data set's description cannot be read", where=str(path), expected=repr(key)) from error
    if not isinstance(value, list):
        raise DataError("the data set's description cannot be read", where=str(path), expected=f"a list {key!r}")
    return value


def _inside(folder: Path, name: object) -> Path:
    path = folder / str(name)
    if not path.exists():
        raise DataError("the data set names a file that is not there", where=str(path), fix="save the data set again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError("the data set names a file outside its folder", where=str(path), fix="save the data set again")
    return path
