"""Records as columns: what is in a table of the database as a table of Parquet, and back.

Values are taken as the database holds them, dictionaries as JSON text: nothing is validated again, which is what
millions of labels would wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rewardkit.runs import atomic_writer
from rewardkit.store.rows import KINDS, Encoded

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("created_at",)
ROWS = 20_000
"""Rows in memory at a time, and in a row group."""


def schema_of(kind: str) -> pa.Schema:
    """Return the columns of a kind of record ("labels", "ratings", …), under the names of its fields."""
    import pyarrow as pa

    return pa.schema([(column.name, _type_of(column)) for column in KINDS[kind].table.c])


def _type_of(column: sa.Column[Any]) -> pa.DataType:
    import pyarrow as pa

    if column.name in TIMES:
        return pa.timestamp("us", tz="UTC")
    types = {sa.BigInteger: pa.int64(), sa.Double: pa.float64(), sa.Boolean: pa.bool_()}
    return next((ours for theirs, ours in types.items() if isinstance(column.type, theirs)), pa.string())


def batch_of(kind: str, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Return rows, with the values that the database's driver takes, as columns.

    Args:
        kind: Of record.
        rows: At least one; each has the values of the kind's columns, in their order.
    """
    import pyarrow as pa

    schema = schema_of(kind)
    columns = list(map(list, zip(*rows, strict=True)))
    for name in TIMES:
        at = schema.get_field_index(name)
        if at >= 0:
            columns[at] = [value and datetime.fromisoformat(value) for value in columns[at]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def write_rows(kind: str, path: Path, rows: Iterable[Encoded]) -> int:
    """Write encoded records of one kind to a file that appears when all of it is written; return how many.

    Raises:
        OutputError: The place cannot be written.
    """
    import pyarrow.parquet as pq

    count, batch = 0, list[tuple[Any, ...]]()
    with atomic_writer(path) as file, pq.ParquetWriter(file, schema_of(kind), compression="zstd") as writer:
        for _, row in rows:
            batch.append(row)
            if len(batch) >= ROWS:
                writer.write_batch(batch_of(kind, batch))
                count, batch = count + len(batch), []
        if batch:
            writer.write_batch(batch_of(kind, batch))
    return count + len(batch)


def read_rows(kind: str, path: Path) -> Iterator[Encoded]:
    """Yield the rows of a file that `write_rows` wrote."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            columns = [column.to_pylist() for column in batch.columns]
            for name in TIMES:
                at = batch.schema.get_field_index(name)
                if at >= 0:
                    columns[at] = [value and value.isoformat() for value in columns[at]]
            for row in zip(*columns, strict=True):
                yield kind, row
