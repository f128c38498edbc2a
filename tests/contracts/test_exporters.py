"""What every registered exporter keeps: whole files only, the same each time, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def exported(name: str, store: Store, path: Path) -> ExportSummary:
    return registered("exporters", EXPORTERS)[name](store, path)


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_json_and_counted(name: str, store: Store, tmp_path: Path) -> None:
    summary = exported(name, store, tmp_path / "out")
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert sum(summary.written.values()) == len(lines) > 0
    assert summary.path == tmp_path / "out"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_store_gives_the_same_file(name: str, store: Store, tmp_path: Path) -> None:
    exported(name, store, tmp_path / "one")
    exported(name, store, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


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
        assert (tmp_path / "out").read_bytes() == b""
        with pytest.raises(OutputError):
            exported(name, empty, tmp_path / "out" / "below")
