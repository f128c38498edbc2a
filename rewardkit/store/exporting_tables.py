"""Labels as a table: one row a label, with the texts that it compares; as one Parquet file.

The columns that rewardkit reads have the names under which it reads them: `source` is the annotator's kind, and
`order` which response stood first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from rewardkit.runs import atomic_writer
from rewardkit.store.exporting_contract import ExportSummary
from rewardkit.store.rows import ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2_000
"""Rows in memory at a time."""


def export_parquet(store: Store, path: Path) -> ExportSummary:
    """Write one row a label as Parquet."""
    return ExportSummary(path, {"labels": _write(path, _label_schema(), label_rows(store))})


def write_preferences(path: Path, preferences: Iterator[dict[str, Any]]) -> int:
    """Write prompts with their chosen and rejected replies (lists of messages) as Parquet; return how many."""
    return _write(path, _preference_schema(), preferences)


def _write(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with atomic_writer(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def label_rows(store: Store) -> Iterator[dict[str, Any]]:
    """Yield one row a label, in the order of comparisons (memory: one comparison)."""
    annotators = store.annotators()
    labels = store.labels()
    waiting = next(labels, None)
    for texts in store.comparisons():
        while waiting is not None and waiting.comparison_id <= texts.comparison.id:
            if waiting.comparison_id == texts.comparison.id:
                yield _row(texts, waiting, annotators[waiting.annotator_id])
            waiting = next(labels, None)


def _row(texts: ComparisonTexts, label: Label, annotator: Annotator) -> dict[str, Any]:
    kept = label.model_dump(include=set(LABEL_COLUMNS))
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in texts.prompt.messages],
        "response_a": texts.response_a.text,
        "response_b": texts.response_b.text,
        "preference": label.choice,
        "order": label.order_shown,
        "annotator": annotator.name,
        "source": annotator.kind,
        "simulated": annotator.simulated,
        "rater_group": annotator.rater_group,
        "task": texts.prompt.task,
        "dataset": texts.comparison.source,
        "split": texts.comparison.split,
        "model_a": texts.response_a.model,
        "model_b": texts.response_b.model,
        **kept,
        # What differs from study to study stands as JSON: `datasets` reads no maps.
        "criteria": orjson.dumps(label.criteria, option=orjson.OPT_SORT_KEYS).decode(),
        "spans": orjson.dumps(label.spans).decode(),
        "metadata": orjson.dumps(label.metadata).decode(),
        "label_id": label.id,
        "comparison_id": label.comparison_id,
    }


LABEL_COLUMNS = (
    "status", "strength", "p_a", "criteria", "rationale", "repeat", "sampling_prob", "seconds",
    "guideline_version", "created_at",
)  # fmt: skip


@cache
def _label_schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    named = dict.fromkeys(("response_a", "response_b", "preference", "order", "annotator", "source"), text)
    about = dict.fromkeys(("rater_group", "task", "dataset", "split", "model_a", "model_b"), text)
    said: dict[str, pa.DataType] = dict.fromkeys(LABEL_COLUMNS, text)
    said |= dict.fromkeys(("strength", "p_a", "sampling_prob", "seconds"), number)
    said |= {"repeat": pa.int64(), "created_at": pa.timestamp("us", tz="UTC")}
    ids = dict.fromkeys(("spans", "metadata", "label_id", "comparison_id"), text)
    columns = chain([("prompt", _messages())], named.items(), [("simulated", pa.bool_())], about.items())
    return pa.schema([*columns, *said.items(), *ids.items()])


@cache
def _preference_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, _messages()) for name in ("prompt", "chosen", "rejected")])


def _messages() -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
