"""What every registered exporter keeps: whole files only, the same each time, and as many rows as it says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rewardkit.errors import OutputError
from rewardkit.registry import registered
from rewardkit.store.exporting import EXPORTERS, ExportSummary
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

NAMES = sorted(registered("exporters", EXPORTERS))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    prompt = Prompt.of((Message(role="user", content="Write a line."),))
    responses = [Response.of(prompt.id, f"line {number}\n\u2028é") for number in range(5)]
    ann = Annotator.of("human", "ann")
    records: list[Any] = [prompt, *responses, ann]
    for first, second in zip(responses, responses[1:], strict=False):
        comparison = Comparison.of(prompt.id, first.id, second.id)
        records += [comparison, Label.of(comparison.id, ann.id, choice="a")]
    with Store.open(tmp_path / "store.db") as opened:
        opened.add(records)
        yield opened


def files(place: Path) -> dict[str, bytes]:
    """Return the content of a file, or of all files of a folder."""
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def rows(content: bytes) -> int:
    """Count the rows of a table, whose lines are JSON objects where it is JSON Lines."""
    if content.startswith(b"PAR1"):
        return pq.read_table(io.BytesIO(content)).num_rows
    lines = content.splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    return len(lines)


def exported(name: str, store: Store, path: Path) -> ExportSummary:
    return registered("exporters", EXPORTERS)[name](store, path)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_counted(name: str, store: Store, tmp_path: Path) -> None:
    summary = exported(name, store, tmp_path / "out")
    tables = [content for path, content in files(tmp_path / "out").items() if path != "README.md"]
    assert sum(summary.written.values()) == sum(map(rows, tables)) > 0
    assert summary.path == tmp_path / "out"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_store_gives_the_same_file(name: str, store: Store, tmp_path: Path) -> None:
    exported(name, store, tmp_path / "one")
    exported(name, store, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize("name", NAMES)
def test_an_export_that_breaks_off_leaves_nothing(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("the power went off")

    for method in ("records", "comparisons", "labels"):
        monkeypatch.setattr(store, method, broken)
    with pytest.raises(RuntimeError):
        exported(name, store, tmp_path / "folder" / "out")
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_store_and_a_place_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.db") as empty:
        assert sum(exported(name, empty, tmp_path / "out").written.values()) == 0
        tables = [content for path, content in files(tmp_path / "out").items() if path != "README.md"]
        assert sum(map(rows, tables)) == 0
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError):
            exported(name, empty, tmp_path / "file" / "below")
