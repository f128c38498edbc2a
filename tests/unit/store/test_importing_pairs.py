"""Comparisons formed from ratings: blocks, thresholds, strengths, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.config import ImportConfig, PairsConfig
from rewardkit.errors import DataError
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.importing_pairs import RatedResponse, dealt
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


def blocks(comparisons: list[Any]) -> list[set[str]]:
    """Return the ids of the responses in each block."""
    found: dict[str, set[str]] = {}
    for texts in comparisons:
        ids = {texts.comparison.response_a, texts.comparison.response_b}
        found.setdefault(texts.comparison.group or "", set()).update(ids)
    return list(found.values())


# 10 texts in blocks of 4 are dealt 4 + 3 + 3: 6 + 3 + 3 pairs; 5 are dealt 3 + 2, and not 4 + 1.
@pytest.mark.parametrize(
    ("count", "size", "expected", "pairs"),
    [
        (10, 4, [3, 3, 4], 12),
        (5, 4, [2, 3], 4),
        (9, 4, [3, 3, 3], 9),
        (4, 4, [4], 6),
        (2, 4, [2], 1),
        (4, 2, [2, 2], 2),
        (7, 3, [2, 2, 3], 5),
        # One of three would be alone in blocks of two.
        (3, 2, [3], 3),
        (5, 2, [2, 3], 4),
    ],
)
def test_every_text_is_in_one_block_and_none_is_left_alone(
    tmp_path: Path, count: int, size: int, expected: list[int], pairs: int
) -> None:
    rows = [rated(f"text {number}", {"ed": number % 7}) for number in range(count)]
    summary = formed(tmp_path, rows, block_size=size)
    assert (summary.added["comparisons"], summary.alone) == (pairs, 0)
    _, comparisons = read(tmp_path)
    found = blocks(comparisons)
    assert sorted(map(len, found)) == expected
    assert len(set().union(*found)) == count == sum(map(len, found))


@given(count=st.integers(0, 300), size=st.integers(2, 12))
def test_dealing(count: int, size: int) -> None:
    responses = [RatedResponse("p", f"{number:03}") for number in range(count)]
    found = dealt(responses, size)
    sizes = {len(block) for block in found}
    assert sorted((r for block in found for r in block), key=lambda r: r.id) == (responses if count > 1 else [])
    assert all(list(block) == sorted(block, key=lambda r: r.id) for block in found)
    assert not sizes or (min(sizes) >= 2 and max(sizes) - min(sizes) <= 1)
    assert max(sizes, default=0) <= (size if size > 2 or count % 2 == 0 else 3)


def test_a_response_alone_with_its_prompt_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [rated(text, {"ed": 1}, prompt=prompt) for text, prompt in [("x", "p"), ("y", "p"), ("z", "q"), ("z", "r")]]
    summary = formed(tmp_path, rows)
    assert (summary.added["comparisons"], summary.alone) == (1, 2)
    assert "2 rated responses are in no pair" in capsys.readouterr().err


def on(scale: tuple[int, int], row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**row, "scores": [{**score, "scale": scale, **fields} for score in row["scores"]]}


def test_ratings_on_several_scales_are_refused(tmp_path: Path) -> None:
    rows = [rated("x", {"ed": 5}), on((1, 5), rated("y", {"ed": 4})), on((1, 5), rated("z", {"ann": 4}))]
    with pytest.raises(DataError, match="the ratings on 'style' are on 2 scales: 0 to 10, 1 to 5"):
        formed(tmp_path, rows)
    with Store.open(tmp_path / "store.db") as store:
        assert (store.counts()["ratings"], store.counts()["comparisons"]) == (6, 0)


def test_a_judges_scale_is_of_no_account(tmp_path: Path) -> None:
    rows = [rated("x", {"ed": 5}), rated("y", {"ed": 4}), on((1, 5), rated("y", {"gpt": 4}, source="judge"))]
    assert formed(tmp_path, rows).added["labels"] == 1


def test_a_mean_of_several_raters_is_not_one_persons_rating(tmp_path: Path) -> None:
    people = [rated("x", {"ed": 5}), rated("y", {"ed": 4})]
    # The means are on another scale and the other way round; neither matters.
    means = [on((1, 5), rated(text, {"mean": value}), aggregate=True) for text, value in [("x", 2), ("y", 4)]]
    formed(tmp_path, people + means)
    said, _ = read(tmp_path)
    assert set(said) == {("ed", "x", "y")}


def test_means_are_compared_where_there_is_nothing_else_and_say_so(tmp_path: Path) -> None:
    means = [on((1, 5), rated(text, {"mean": value}), aggregate=True) for text, value in [("x", 2), ("y", 4)]]
    formed(tmp_path, means)
    said, _ = read(tmp_path)
    assert said["mean", "y", "x"].metadata == {"aggregate": True, "derived_from": "rating:style"}


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
