"""Tells the format of each file before anything is written, or says which columns were expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from rewardkit.errors import DataError
from rewardkit.store.importing_files import Source, find_source, read_rows
from rewardkit.store.importing_formats import FORMATS, Format
from rewardkit.store.importing_readers import Row

LOOKED_AT = 1_000
VERDICTS = frozenset({"labels", "preference", "choice", "winner"})
RATINGS = 'for ratings, give each row scores: [{"annotator": "kim", "criteria": {"quality": 4}, "scale": [1, 5]}]'


@dataclass(frozen=True)
class Plan:
    """One file that will be read.

    Attributes:
        path: The file.
        source: Name of the data set that it belongs to.
        format: How its rows are understood.
        columns: Field of rewardkit: column of the file, where they differ.
        found: The columns of its first rows, under rewardkit's names where those differ.
    """

    path: Path
    source: str
    format: Format
    columns: Mapping[str, str]
    found: tuple[str, ...] = ()

    def remarks(self) -> Iterator[str]:
        """Say what a user would want to know before trusting the import."""
        unused = [name for name in self.found if name not in (*self.format.needs, *self.format.takes)]
        if unused and self.format is not FORMATS["export"]:
            yield f"columns that are not used: {_listed(unused)}"
        if self.format is FORMATS["comparisons"] and not VERDICTS.intersection(self.found):
            yield f"no labels in it: it has none of the columns {', '.join(sorted(VERDICTS))}"
        if self.format is FORMATS["responses"]:
            yield "responses about which nothing is said yet; `rewardkit label` pairs those of one prompt"
        if self.format is FORMATS["trl"] and "prompt" not in self.found:
            yield "no column prompt: what chosen and rejected have in common at their start is taken as the prompt"


def plan_import(files: Sequence[str | Path], name: str | None, columns: Mapping[str, str]) -> list[Plan]:
    """Look at the head of every file.

    Args:
        files: Files and folders.
        name: The data set's name; each file's stem if absent.
        columns: Field of rewardkit: column of the files.

    Raises:
        DataError: A file is missing, unreadable or of no known format, or a mapped name does not exist.
    """
    _check_fields(columns)
    sources = [find_source(file, name) for file in files]
    return [_plan(path, source, columns) for source in sources for path in source.paths]


def renamed(data: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the row under rewardkit's names."""
    taken = set(columns.values())
    kept = {name: value for name, value in data.items() if name not in taken}
    kept.update({field: data[column] for field, column in columns.items() if column in data})
    return kept


def missing_columns(data: Mapping[str, Any], format_: Format) -> str:
    """Return which columns a row lacks, or has and may not have; nothing where it fits."""
    missing = [name for name in format_.needs if name not in data]
    if missing:
        return f"the row has no {' and no '.join(missing)}"
    more = sorted(set(data) - {*format_.needs, *format_.takes}) if format_.only else []
    return f"the row also has {', '.join(more)}, which a row of responses has not" if more else ""


def _plan(path: Path, source: Source, columns: Mapping[str, str]) -> Plan:
    head = list(islice(read_rows(path), LOOKED_AT))
    rows = [row.data for row in head if row.data is not None]
    found = list(dict.fromkeys(name for data in rows for name in data))
    if rows:
        _check_columns(path, columns, found)
    all_names = tuple(renamed(dict.fromkeys(found), columns))
    for data in rows:
        names = renamed(data, columns)
        for format_ in FORMATS.values():
            if not missing_columns(names, format_):
                return Plan(path, source.name, format_, columns, all_names)
    raise _unknown(path, found, columns, head)


def _check_fields(columns: Mapping[str, str]) -> None:
    known = sorted({name for format_ in FORMATS.values() for name in (*format_.needs, *format_.takes)})
    for field in columns:
        if field not in known:
            raise DataError(
                f"unknown field {field!r}",
                where=f"--map {field}={columns[field]}",
                expected=", ".join(known),
                fix=_nearest(field, known),
            )


def _check_columns(path: Path, columns: Mapping[str, str], found: Sequence[str]) -> None:
    for field, column in columns.items():
        if column not in found:
            raise DataError(
                f"there is no column {column!r}, which --map {field}={column} names",
                where=str(path),
                expected=f"one of {_listed(found)}",
                fix=_nearest(column, found),
            )


def _unknown(path: Path, found: Sequence[str], columns: Mapping[str, str], head: Sequence[Row]) -> DataError:
    if not found:
        what = f"no row can be read: line {head[0].line}: {head[0].problem}" if head else "the file holds no rows"
        return DataError(what, where=str(path), expected=_expected())
    names = list(renamed(dict.fromkeys(found), columns))
    # Nobody maps columns onto our own export, and what is like a response alone is more like something else.
    mappable = [format_ for name, format_ in FORMATS.items() if name not in ("export", "responses")]
    nearest = max(mappable, key=lambda format_: _likeness(names, format_))
    return DataError(
        f"no row has the columns of a known format; found {_listed(found)}",
        where=str(path),
        expected=_expected(),
        fix=RATINGS if {"prompt", "response"} <= set(names) else _mapping_for(names, nearest),
    )


def _expected() -> str:
    return "; or ".join(" + ".join(format_.needs) for format_ in FORMATS.values())


def _likeness(found: Sequence[str], format_: Format) -> float:
    likely = sum(name in found or 0.5 * bool(get_close_matches(name, found, 1)) for name in format_.needs)
    return likely / len(format_.needs)


def _mapping_for(found: Sequence[str], format_: Format) -> str:
    """Return the --map options that would make the file one of this format."""
    free = [name for name in found if name not in format_.needs]
    options = []
    for name in format_.needs:
        if name not in found:
            close = get_close_matches(name, free, 1)
            free = [other for other in free if other not in close]
            options.append(f"--map {name}={close[0] if close else 'COLUMN'}")
    return f"name the columns: {' '.join(options)}"


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), 1)
    return f"did you mean {close[0]!r}?" if close else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
