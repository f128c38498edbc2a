"""Labels as a table without texts, for who has millions of them: one row a label, as one Parquet file.

Comparisons and responses are named by their ids. Columns go from the database to the file as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rewardkit.runs import atomic_writer
from rewardkit.store import tables
from rewardkit.store.exporting_contract import ExportSummary
from rewardkit.store.record_tables import ROWS, batch_of, schema_of
from rewardkit.store.store import Store

KIND = "labels"


def export_labels(store: Store, path: Path) -> ExportSummary:
    """Write one row a label (superseded ones are left out), with its annotator's name and kind.

    `annotator` is the name, `source` the kind (human or judge), `criteria`, `spans` and `metadata` are JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, plain, count = pa.string(), schema_of(KIND), 0
    schema = plain.append(pa.field("annotator", text)).append(pa.field("source", text))
    by = plain.get_field_index("annotator_id")
    with atomic_writer(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        annotators = store.annotators()
        for rows in _pages(store):
            who = [annotators[row[by]] for row in rows]
            named = [pa.array([each.name for each in who], text), pa.array([each.kind for each in who], text)]
            writer.write_batch(pa.RecordBatch.from_arrays([*batch_of(KIND, rows).columns, *named], schema=schema))
            count += len(rows)
    return ExportSummary(path, {"labels": count})


def _pages(store: Store) -> Iterator[Sequence[Any]]:
    """Yield pages of labels by comparison, then by id, with dictionaries as the text that they are stored as."""
    table, later = tables.labels, tables.labels.alias("later")
    columns = [sa.cast(c, sa.Text).label(c.name) if isinstance(c.type, sa.JSON) else c for c in table.c]
    query = sa.select(*columns).where(~sa.exists().where(later.c.supersedes == table.c.id))
    query = query.order_by(table.c.comparison_id, table.c.id).limit(ROWS)
    key, page = sa.tuple_(table.c.comparison_id, table.c.id), query
    while True:
        with store.reading() as connection:
            rows = connection.execute(page).all()
        if rows:
            yield rows
        if len(rows) < ROWS:
            return
        page = query.where(key > sa.tuple_(rows[-1].comparison_id, rows[-1].id))
