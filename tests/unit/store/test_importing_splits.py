"""A split that a file sets is the comparison's from its first import on, and what contradicts it is told."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewardkit.config import ImportConfig
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.store import Store

ROW = {"prompt": "p", "response_a": "x", "response_b": "y"}
SAID = {"annotator": "ann", "source": "human", "preference": 1.0}
EACH = ("train", "validation", "calibration", "test", "", None)


def imported(store: Store, path: Path, *rows: dict[str, Any], **options: Any) -> tuple[ImportSummary, list[str]]:
    """Import rows as JSON Lines; the reasons of those that were rejected are returned too."""
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    rejects = path.with_name("rejects.jsonl")
    summary = import_files(store, [path], ImportConfig(files=("-",), **options), rejects=rejects)
    lines = rejects.read_bytes().splitlines() if rejects.exists() else []
    return summary, [orjson.loads(line)["reason"] for line in lines]


def splits(store: Store) -> dict[str, str | None]:
    """Return the split of each comparison, by its prompt."""
    return {c.prompt.messages[0].content: c.comparison.split for c in store.comparisons()}


@pytest.mark.parametrize("described", [False, True])
def test_each_split_and_none(tmp_path: Path, new_database: Callable[[], str], described: bool) -> None:
    meta = {"meta": {"author": "ann"}} if described else {}
    rows = [{**ROW, **meta, "prompt": str(at), "split": split} for at, split in enumerate(EACH)]
    with Store.open(new_database()) as store:
        summary, reasons = imported(store, tmp_path / "data.jsonl", *rows)
        assert (reasons, summary.added["comparisons"]) == ([], 6)
        assert splits(store) == {str(at): split or None for at, split in enumerate(EACH)}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_another_name_in_a_table(tmp_path: Path, kind: str) -> None:
    rows = [{**ROW, "prompt": str(at), "fold": split or ""} for at, split in enumerate(EACH)]
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    with Store.open(tmp_path / "store.db") as store:
        options = ImportConfig(files=("-",), map={"split": "fold"})
        assert import_files(store, [path], options, rejects=tmp_path / "rejects.jsonl").rejected == 0
        assert splits(store) == {str(at): split or None for at, split in enumerate(EACH)}


@pytest.mark.parametrize("value", ["dev", "Test", "train ", 1, True, ["test"]])
def test_a_split_that_is_none_rejects_its_row(tmp_path: Path, value: Any) -> None:
    with Store.open(tmp_path / "store.db") as store:
        summary, reasons = imported(store, tmp_path / "data.jsonl", {**ROW, "split": value}, {**ROW, "prompt": "q"})
        assert reasons == [f"unknown split {value!r} (expected train, validation, calibration, test)"]
        assert splits(store) == {"q": None}


def test_the_orientation_does_not_matter_and_importing_again_adds_nothing(tmp_path: Path) -> None:
    turned = {**ROW, "response_a": "y", "response_b": "x", "split": "test"}
    with Store.open(tmp_path / "store.db") as store:
        first, _ = imported(store, tmp_path / "data.jsonl", {**ROW, "split": "test"}, turned, ROW)
        assert (first.added["comparisons"], first.known["comparisons"], first.rejected) == (1, 2, 0)
        again, reasons = imported(store, tmp_path / "data.jsonl", {**ROW, "split": "test"}, turned, ROW)
        assert (dict(again.added), reasons) == ({}, [])
        assert splits(store) == {"p": "test"}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, "test", "the comparison was imported before without a split, and keeps that"),
        ("train", "test", "the comparison was imported before with the split 'train', and keeps that"),
    ],
)
def test_another_split_is_told_and_its_row_leaves_nothing(
    tmp_path: Path, new_database: Callable[[], str], apart: bool, before: str | None, after: str, reason: str
) -> None:
    first = {**ROW, "id": "1", "split": before}
    second = {**ROW, "id": "2", "split": after, "labels": [SAID]}
    other = {**ROW, "id": "3", "prompt": "q", "split": "test"}
    with Store.open(new_database()) as store:
        for rows in [[first], [second, other]] if apart else [[first, second, other]]:
            _, reasons = imported(store, tmp_path / "data.jsonl", *rows, source="mine")
        assert [said.partition(";")[0] for said in reasons] == [reason]
        assert splits(store) == {"p": before, "q": "test"}
        assert store.counts()["labels"] == 0
        assert [name.external_id for name in store.records("external_ids")] == ["1", "3"]
        # The row's own id is still free for what it should have been.
        _, reasons = imported(store, tmp_path / "data.jsonl", {**second, "prompt": "r"}, source="mine")
        assert reasons == [] and splits(store)["r"] == after


def test_an_export_cannot_change_a_split_either(tmp_path: Path) -> None:
    from rewardkit.store.exporting import export

    with Store.open(tmp_path / "one.db") as one, Store.open(tmp_path / "other.db") as other:
        imported(one, tmp_path / "data.jsonl", {**ROW, "split": "train", "labels": [SAID]})
        imported(other, tmp_path / "data.jsonl", {**ROW, "split": "test"})
        path = export(one, tmp_path / "all.jsonl", "jsonl").path
        summary = import_files(other, [path], ImportConfig(files=("-",)), rejects=tmp_path / "rejects.jsonl")
        assert summary.rejected == 1 and summary.added == {"annotators": 1, "labels": 1}
        assert splits(other) == {"p": "test"}


def test_the_part_of_a_data_set_in_a_preference_file_is_no_split(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "x", "rejected": "y"}
    rows = [{**row, "split": "train_prefs"}, {**row, "prompt": "q", "split": "train"}]
    with Store.open(tmp_path / "store.db") as store:
        _, reasons = imported(store, tmp_path / "data.jsonl", *rows)
        assert reasons == [] and splits(store) == {"p": None, "q": None}


def test_the_digest_tells_splits_apart(tmp_path: Path) -> None:
    found = set()
    for split in (None, "train", "test"):
        with Store.open(tmp_path / f"{split}.db") as store:
            imported(store, tmp_path / "data.jsonl", {**ROW, "split": split})
            found.add(store.digest("comparisons"))
            assert store.digest("prompts", "responses")
    assert len(found) == 3
