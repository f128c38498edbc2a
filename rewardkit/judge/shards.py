"""Shards: items with their texts as small Parquet files, which judges anywhere can be given one by one.

A shard holds what is asked about and what is there already of it, so that who judges it needs nothing else. Each
column is a record as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from rewardkit.errors import DataError
from rewardkit.judge.contract import PairTexts, ResponseTexts
from rewardkit.judge.resuming import PairKey, RatingKey
from rewardkit.runs import atomic_writer
from rewardkit.store.rows import ComparisonTexts, RatedTexts
from rewardkit.types import Comparison, Prompt, Record, Response

COMPARED: Mapping[str, type[Record]] = {
    "comparison": Comparison,
    "prompt": Prompt,
    "response_a": Response,
    "response_b": Response,
}
RATED: Mapping[str, type[Record]] = {"response": Response, "prompt": Prompt}
THERE = "already"


@dataclass(frozen=True)
class PairShard:
    """Comparisons to be labelled.

    Attributes:
        items: With their texts, by id.
        already: Keys of labels that are not to be made again.
    """

    items: list[ComparisonTexts]
    already: frozenset[PairKey]


@dataclass(frozen=True)
class RatingShard:
    """Responses to be rated.

    Attributes:
        items: With their prompts, by id.
        already: Keys of ratings that are not to be made again.
    """

    items: list[RatedTexts]
    already: frozenset[RatingKey]


def cut_pairs(items: Iterable[tuple[PairTexts, Iterable[PairKey]]], folder: Path, size: int) -> Iterator[Path]:
    """Write comparisons, with the keys of labels that are there, as shards; each is there whole when it is yielded.

    Args:
        items: Read as shards are asked for.
        folder: Where they go.
        size: Items in a shard.

    Raises:
        OutputError: The folder cannot be written.
    """
    yield from _cut(((texts, keys, COMPARED) for texts, keys in items), folder, size)


def cut_ratings(items: Iterable[tuple[ResponseTexts, Iterable[RatingKey]]], folder: Path, size: int) -> Iterator[Path]:
    """Write responses likewise, with the keys of ratings that are there."""
    yield from _cut(((texts, keys, RATED) for texts, keys in items), folder, size)


def read_pairs(path: Path) -> PairShard:
    """Read a shard of comparisons.

    Raises:
        DataError: It is not there.
    """
    columns, there = _read(path, COMPARED)
    items = [ComparisonTexts(**dict(zip(COMPARED, row, strict=True))) for row in zip(*columns, strict=True)]
    return PairShard(items, frozenset(there))


def read_ratings(path: Path) -> RatingShard:
    """Read a shard of responses.

    Raises:
        DataError: It is not there.
    """
    columns, there = _read(path, RATED)
    return RatingShard([RatedTexts(*row) for row in zip(*columns, strict=True)], frozenset(there))


def _cut(items: Iterator[tuple[Any, Iterable[Any], Mapping[str, type[Record]]]], folder: Path, size: int) -> Any:
    number = 0
    while batch := list(islice(items, size)):
        path = folder / f"{number:06d}.parquet"
        columns = {name: [getattr(texts, name).model_dump_json() for texts, *_ in batch] for name in batch[0][2]}
        there = [orjson.dumps(list(keys)).decode() for _, keys, _ in batch]
        _write(path, {**columns, THERE: there})
        yield path
        number += 1


def _write(path: Path, columns: Mapping[str, list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_writer(path) as file:
        pq.write_table(pa.table(dict(columns)), file, compression="zstd")


def _read(path: Path, kinds: Mapping[str, type[Record]]) -> tuple[list[list[Any]], list[Any]]:
    import pyarrow.parquet as pq

    if not path.exists():
        raise DataError(
            "this node does not see the job's folder",
            where=str(path),
            expected="a workspace on a disk that all nodes of the cluster share, at the same place",
            fix="put the workspace there, or judge.engine: local",
        )
    table = pq.read_table(path)
    columns = [[kind.model_validate_json(text) for text in table[name].to_pylist()] for name, kind in kinds.items()]
    there = [tuple(key) for text in table[THERE].to_pylist() for key in orjson.loads(text)]
    return columns, there
