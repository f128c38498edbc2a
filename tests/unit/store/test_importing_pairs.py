"""Comparisons formed from ratings: blocks, thresholds, strengths, and nothing twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from rewardkit.config import ImportConfig, PairsConfig
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.rows import KINDS
from rewardkit.store.store import Store


def rated(text: str, ratings: dict[str, float], *, prompt: str = "", source: str = "human") -> dict[str, Any]:
    scores = [
        {"annotator": name, "source": source, "criteria": {"style": value, "plot": 1}, "scale": [0, 10]}
        for name, value in ratings.items()
    ]
    return {"prompt": prompt, "response": text, "scores": scores}


def formed(folder: Path, rows: list[dict[str, Any]], **pairs: Any) -> ImportSummary:
    path = folder / "ratings.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    options = ImportConfig(files=("-",), pairs=PairsConfig(criterion="style", **pairs))
    with Store.open(folder / "store.db") as store:
        return import_files(store, [path], options, rejects=folder / "rejects.jsonl")


def read(folder: Path) -> tuple[dict[tuple[str, str], Any], list[Any]]:
    """Return the labels by the texts (winner's side resolved), and the comparisons."""
    with Store.open(folder / "store.db") as store:
        texts = {c.comparison.id: c for c in store.comparisons()}
        names = {a.id: a.name for a in store.annotators().values()}
        said = {}
        for label in store.labels():
            c = texts[label.comparison_id]
            first, second = c.response_a.text, c.response_b.text
            if label.choice == "b":
                first, second = second, first
            said[(names[label.annotator_id], first, second)] = label
        return said, list(texts.values())


def test_the_higher_rating_wins_by_the_difference(tmp_path: Path) -> None:
    formed(tmp_path, [rated("good", {"ed": 8}), rated("poor", {"ed": 3.5})])
    said, (comparison,) = read(tmp_path)
    label = said["ed", "good", "poor"]
    assert label.strength == 4.5
    assert label.metadata == {"derived_from": "rating:style"}
    assert comparison.comparison.source == "ratings"
    assert comparison.comparison.group is not None


@pytest.mark.parametrize(("least", "count"), [(0.0, 3), (0.5, 2), (2.0, 2), (2.1, 0)])
def test_pairs_that_differ_by_less_are_not_formed(tmp_path: Path, least: float, count: int) -> None:
    # 4.1 − 2.1 is 1.9999999999999996 in floating point, and is meant to be 2.
    formed(tmp_path, [rated("x", {"ed": 4.1}), rated("y", {"ed": 2.1}), rated("z", {"ed": 4.1})], min_difference=least)
    said, comparisons = read(tmp_path)
    assert len(comparisons) == len(said) == count
    ties = [label for label in said.values() if label.choice == "tie"]
    assert len(ties) == (1 if least == 0 else 0)
    assert all(label.strength is None for label in ties)


def test_every_text_is_in_one_block_only(tmp_path: Path) -> None:
    # 10 texts in blocks of 4: 6 + 6 + 1 pairs.
    rows = [rated(f"text {number}", {"ed": number % 7}) for number in range(10)]
    summary = formed(tmp_path, rows, block_size=4)
    assert summary.added["comparisons"] == 13
    _, comparisons = read(tmp_path)
    blocks: dict[str, set[str]] = {}
    for texts in comparisons:
        ids = {texts.comparison.response_a, texts.comparison.response_b}
        blocks.setdefault(texts.comparison.group or "", set()).update(ids)
    assert sorted(len(block) for block in blocks.values()) == [2, 4, 4]
    assert set(Counter(text for block in blocks.values() for text in block).values()) == {1}


def test_prompts_are_not_mixed(tmp_path: Path) -> None:
    rows = [rated(f"{prompt} {n}", {"ed": n}, prompt=prompt) for prompt in "pq" for n in range(3)]
    assert formed(tmp_path, rows).added["comparisons"] == 6


def test_each_human_who_rated_both_gives_a_label(tmp_path: Path) -> None:
    rows = [rated("x", {"ann": 5, "bob": 1, "cid": 9}), rated("y", {"ann": 4, "bob": 4})]
    formed(tmp_path, rows)
    said, comparisons = read(tmp_path)
    assert {key: label.strength for key, label in said.items()} == {("ann", "x", "y"): 1.0, ("bob", "y", "x"): 3.0}
    assert len(comparisons) == 1


def test_pairs_without_a_common_rater_and_judges_ratings_form_nothing(tmp_path: Path) -> None:
    rows = [rated("x", {"ann": 5}), rated("y", {"bob": 4}), rated("z", {"gpt": 3}, source="judge")]
    assert "comparisons" not in formed(tmp_path, rows).added


def test_the_mean_difference_decides_whether_a_pair_is_formed(tmp_path: Path) -> None:
    # ann +3, bob −1: on average 1.
    rows = [rated("x", {"ann": 5, "bob": 2}), rated("y", {"ann": 2, "bob": 3})]
    assert formed(tmp_path, rows, min_difference=1.0).added["labels"] == 2
    (tmp_path / "store.db").unlink()
    assert "labels" not in formed(tmp_path, rows, min_difference=1.1).added


def test_forming_pairs_twice_adds_nothing(tmp_path: Path) -> None:
    rows = [rated(f"text {number}", {"ed": number}) for number in range(9)]
    formed(tmp_path, rows)
    with Store.open(tmp_path / "store.db") as store:
        digest = store.digest(*KINDS)
    assert dict(formed(tmp_path, rows[::-1]).added) == {}
    with Store.open(tmp_path / "store.db") as store:
        assert store.digest(*KINDS) == digest
