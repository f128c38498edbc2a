"""The real labels of ../shared/data are read whole: every row, every label, every reject, checked by counting."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewardkit.config import ImportConfig, PairsConfig
from rewardkit.errors import DataError
from rewardkit.store.exporting import export
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.rows import KINDS
from rewardkit.store.store import Store

PAIRWISE = ["scratchplot_endings.jsonl", "mtbench_llmeval_faireval.jsonl", "pandalm.jsonl", "hhh_alignment.jsonl"]
RATINGS = [
    "lamp_quality.jsonl",
    "scratchplot_ratings.jsonl",
    "creative_story_gen.jsonl",
    "gpt4_rubric_repeats.jsonl.gz",
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def imported(store: Store, folder: Path, *paths: Path, **options: Any) -> ImportSummary:
    return import_files(store, paths, ImportConfig(files=("-",), **options), rejects=folder / "rejects.jsonl")


@pytest.mark.parametrize("name", PAIRWISE)
def test_every_vote_is_kept_in_its_frame(shared_data: Path, tmp_path: Path, name: str) -> None:
    rows = rows_of(shared_data / name)
    with Store.open(tmp_path / "store.db") as store:
        summary = imported(store, tmp_path, shared_data / name)
        assert summary.rejected == 0
        names = {annotator.id: (annotator.kind, annotator.name) for annotator in store.annotators().values()}
        texts = {item.comparison.id: item for item in store.comparisons()}
        stored = Counter[tuple[Any, ...]]()
        for label in store.labels():
            item = texts[label.comparison_id]
            prompt = item.prompt.messages[0].content
            a, b = item.response_a.text, item.response_b.text
            first = {"ab": a, "ba": b}.get(label.order_shown or "")
            winner = {"a": a, "b": b}.get(label.choice or "", label.choice)
            stored[prompt, frozenset((a, b)), *names[label.annotator_id], winner, first, label.rationale] += 1
    # Counted from the file, without the import: texts in place of sides. Rows that the file holds twice
    # (the same texts and the same vote) are one label.
    expected = set()
    for row in rows:
        a, b = row["response_a"], row["response_b"]
        for vote in row["labels"]:
            winner = {1.0: a, 0.0: b, 0.5: "tie"}[vote["preference"]]
            first = {"ab": a, "ba": b}.get(vote.get("order", ""))
            who = vote["source"], vote["annotator"]
            expected.add((row["prompt"], frozenset((a, b)), *who, winner, first, vote.get("rationale", "")))
    assert stored.keys() == expected
    assert summary.added["comparisons"] + summary.known.get("comparisons", 0) == len(rows)
    votes = sum(len(row["labels"]) for row in rows)
    assert summary.added["labels"] + summary.known.get("labels", 0) == votes
    assert summary.added["external_ids"] == len(rows)


@pytest.mark.parametrize("name", RATINGS)
def test_every_rating_is_kept(shared_data: Path, tmp_path: Path, name: str) -> None:
    rows = rows_of(shared_data / name)
    with Store.open(tmp_path / "store.db") as store:
        summary = imported(store, tmp_path, shared_data / name)
        assert summary.rejected == 0
        people = {annotator.id: annotator.name for annotator in store.annotators().values()}
        texts = {response.id: response.text for response in store.responses()}
        stored = {
            (texts[r.response_id], people[r.annotator_id], r.criterion, r.value, r.repeat, r.rationale)
            for r in store.records("ratings")
        }
    expected = {
        (row["response"], s["annotator"], name, float(value), s.get("repeat", 0), s.get("rationale", ""))
        for row in rows
        for s in row["scores"]
        for name, value in s["criteria"].items()
    }
    assert stored == expected
    assert summary.added["responses"] == len(rows)


def test_withheld_texts_are_rejected_and_counted(shared_data: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        with pytest.raises(DataError, match=r"every row was rejected \(1056\), .*the text is withheld"):
            imported(store, tmp_path, shared_data / "hanna_scores.jsonl.gz")
        assert sum(store.counts().values()) == 0
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in rejects] == list(range(1, 1_057))
    assert {entry["reason"] for entry in rejects} == {
        "response is missing (the text is withheld or the column is empty)"
    }
    assert rejects[0]["row"]["id"] == "hanna-0"


def test_pairs_of_the_editors_ratings(shared_data: Path, tmp_path: Path) -> None:
    rows = rows_of(shared_data / "lamp_quality.jsonl")
    value = {row["response"]: row["scores"][0]["criteria"]["writing_quality"] for row in rows}
    pairs = PairsConfig(criterion="writing_quality", block_size=4, min_difference=2)
    with Store.open(tmp_path / "store.db") as store:
        imported(store, tmp_path, shared_data / "lamp_quality.jsonl", pairs=pairs, task="fiction")
        texts = {item.comparison.id: item for item in store.comparisons()}
        groups = Counter(item.comparison.group for item in texts.values())
        assert 0 < max(groups.values()) <= 6
        for label in store.labels():
            item = texts[label.comparison_id]
            difference = value[item.response_a.text] - value[item.response_b.text]
            assert abs(difference) >= 2
            assert (label.choice, label.strength) == ("a" if difference > 0 else "b", abs(difference))
        assert {item.prompt.task for item in texts.values()} == {"fiction"}
        assert store.counts()["labels"] == len(texts) > 500


def test_bad_rows_among_real_ones_lose_nothing_else(shared_data: Path, tmp_path: Path) -> None:
    """Every tenth line of a real file is spoilt, each in another way."""
    spoil: list[Callable[[bytes], bytes]] = [
        lambda line: line[: len(line) // 2],
        lambda line: line.replace(b'"response"', b'"text"', 1),
        lambda line: line.replace(b'"response": "', b'"response": "\xff', 1),
        lambda line: line.replace(b'"scale": [0, 10]', b'"scale": [0, 1]').replace(b'_quality": ', b'_quality": 1'),
        lambda line: line.replace(b'_quality": ', b'_quality": NaN, "old": '),
    ]
    lines = (shared_data / "lamp_quality.jsonl").read_bytes().splitlines()
    spoilt = {at: spoil[at // 10 % len(spoil)](lines[at]) for at in range(0, len(lines), 10)}
    assert all(spoilt[at] != lines[at] for at in spoilt)
    path = tmp_path / "spoilt.jsonl"
    path.write_bytes(b"\n".join(spoilt.get(at, line) for at, line in enumerate(lines)))
    with Store.open(tmp_path / "store.db") as store:
        summary = imported(store, tmp_path, path)
        assert summary.added["responses"] == len(lines) - len(spoilt)
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [entry["line"] - 1 for entry in rejects] == sorted(spoilt)
    reasons = Counter(entry["reason"].split(" (")[0].split(":")[0] for entry in rejects)
    assert {"not valid JSON", "the row has no response", "not UTF-8"} < set(reasons)


@pytest.mark.slow
def test_all_files_twice_and_through_an_export(
    shared_data: Path, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    paths = [shared_data / name for name in PAIRWISE + RATINGS]
    with Store.open(new_database()) as store, Store.open(new_database()) as other:
        first = imported(store, tmp_path, *paths)
        digest = store.digest(*KINDS)
        again = imported(store, tmp_path, *paths)
        assert dict(again.added) == {}
        assert store.digest(*KINDS) == digest
        assert sum(first.added.values()) == sum(store.counts().values())
        export(store, tmp_path / "one.jsonl", "jsonl")
        shutil.copy(tmp_path / "one.jsonl", tmp_path / "renamed.jsonl")
        imported(other, tmp_path, tmp_path / "renamed.jsonl")
        export(other, tmp_path / "two.jsonl", "jsonl")
        assert other.digest(*KINDS) == digest
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
