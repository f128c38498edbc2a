from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pyarrow.parquet as pq
import pytest

from rewardkit.store import exporting_labels
from rewardkit.store.exporting import export
from rewardkit.store.record_tables import read_rows, write_rows
from rewardkit.store.rows import encode
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Rating

ANN, JUDGE = Annotator.of("human", "ann"), Annotator.of("judge", "strict")
WHEN = datetime(2026, 11, 22, 12, 30, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def labels():
    def build(item):
        said = Label.of(item, ANN.id, choice="a", strength=2.0, created_at=WHEN, criteria={"wit": "b"})
        edited = Label.of(item, ANN.id, choice="tie", supersedes=said.id, spans=({"start": 1, "note": "ü"},))
        judged = Label.of(item, JUDGE.id, choice="b", p_a=0.25, order_shown="ba", tokens=7, cost=0.5, seconds=0.125)
        failed = Label.of(item, JUDGE.id, status="failed", reason="silence", metadata={"n": [1, None, {"a": 0.1}]})
        return said, edited, judged, failed

    return build


def test_every_label_that_counts_is_a_row_with_what_the_record_says(
    database_url, tmp_path, add_comparisons, labels, monkeypatch
):
    monkeypatch.setattr(exporting_labels, "ROWS", 4)
    with Store.open(database_url) as store:
        ids = sorted(add_comparisons(store, 7))
        store.add([ANN, JUDGE, *(label for item in ids for label in labels(item))])
        summary = export(store, tmp_path / "out.parquet", "labels")
        expected = list(store.labels())
    found = pq.read_table(summary.path).to_pylist()
    assert summary.written == {"labels": 21} and len(expected) == 21
    for row, label in zip(found, expected, strict=True):
        said = label.model_dump() | {"spans": list(label.spans)}
        names = {"annotator": "ann", "source": "human"}
        assert row == {
            **said,
            **{name: orjson.dumps(said[name]).decode() for name in ("criteria", "spans", "metadata")},
            **(names if label.annotator_id == ANN.id else {"annotator": "strict", "source": "judge"}),
        }


@pytest.mark.parametrize("kind", ["labels", "ratings"])
def test_rows_that_are_written_are_read_as_they_were(tmp_path, labels, kind):
    records = [label for item in ("one", "two") for label in labels(item)]
    if kind == "ratings":
        records = [
            Rating.of("one", JUDGE.id, "wit", value=0.1, scale=(0, 1), created_at=WHEN, metadata={"cost": 0.5}),
            Rating.of("two", JUDGE.id, "wit", status="failed", reason="silence", scale=(0, 1)),
        ]
    encoded = [encode(record) for record in records]
    assert write_rows(kind, tmp_path / "rows.parquet", encoded) == len(encoded)
    assert list(read_rows(kind, tmp_path / "rows.parquet")) == encoded
    assert write_rows(kind, tmp_path / "none.parquet", []) == 0
    assert not list(read_rows(kind, tmp_path / "none.parquet"))
