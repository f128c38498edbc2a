"""Everything that speaks of a side follows its response, whichever way round the row was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.config import ImportConfig
from rewardkit.store.importing import import_files
from rewardkit.store.rows import KINDS, ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Label

# With the empty prompt, the id of "one" sorts before that of "two" in one of the two rows below, and after
# it in the other: each test runs both.
BETTER, WORSE = "the better text", "the worse text"


def imported(folder: Path, row: dict[str, Any]) -> tuple[ComparisonTexts, list[Label]]:
    """Import one row into a new store."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.jsonl"
    file.write_bytes(orjson.dumps(row))
    database = folder / "store.db"
    database.unlink(missing_ok=True)
    with Store.open(database) as store:
        summary = import_files(store, [file], ImportConfig(files=("-",)), rejects=folder / "rejects.jsonl")
        assert summary.rejected == 0, (folder / "rejects.jsonl").read_text()
        (comparison,) = store.comparisons()
        return comparison, list(store.labels())


def side_of(texts: ComparisonTexts, text: str) -> str:
    return "a" if texts.response_a.text == text else "b"


ROWS = [
    {"response_a": BETTER, "response_b": WORSE},
    {"response_a": WORSE, "response_b": BETTER},
]


def label(row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"annotator": "ann", "source": "human", **fields}


@pytest.mark.parametrize("row", ROWS)
def test_a_hard_preference_chooses_the_better_text(tmp_path: Path, row: dict[str, Any]) -> None:
    preference = 1.0 if row["response_a"] == BETTER else 0.0
    texts, labels = imported(tmp_path, {"prompt": "", **row, "labels": [label(row, preference=preference)]})
    assert labels[0].choice == side_of(texts, BETTER)
    assert labels[0].p_a is None


def test_the_two_rows_really_are_turned(tmp_path: Path) -> None:
    turned = []
    for row in ROWS:
        texts, _ = imported(tmp_path, {"prompt": "", **row, "labels": []})
        turned.append(texts.response_a.text != row["response_a"])
    assert sorted(turned) == [False, True]


@pytest.mark.parametrize("row", ROWS)
def test_a_soft_preference_keeps_its_probability(tmp_path: Path, row: dict[str, Any]) -> None:
    preference = 0.75 if row["response_a"] == BETTER else 0.25
    texts, (said,) = imported(tmp_path, {"prompt": "", **row, "labels": [label(row, preference=preference)]})
    assert said.choice == side_of(texts, BETTER)
    assert said.p_a == (0.75 if said.choice == "a" else 0.25)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(("words", "expected"), [({"preference": 0.5}, "tie"), ({"choice": "both_bad"}, "both_bad")])
def test_a_tie_has_no_side(tmp_path: Path, row: dict[str, Any], words: dict[str, Any], expected: str) -> None:
    _, (said,) = imported(tmp_path, {"prompt": "", **row, "labels": [label(row, **words)]})
    assert (said.choice, said.p_a) == (expected, None)


@pytest.mark.parametrize("row", ROWS)
def test_the_order_shown_names_the_same_text_first(tmp_path: Path, row: dict[str, Any]) -> None:
    # The better text was shown first.
    order = "ab" if row["response_a"] == BETTER else "ba"
    entry = label(row, preference=0.5, order=order)
    texts, (said,) = imported(tmp_path, {"prompt": "", **row, "labels": [entry]})
    assert said.order_shown is not None
    assert said.order_shown[0] == side_of(texts, BETTER)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_said_of_a_side_follows_its_text(tmp_path: Path, row: dict[str, Any]) -> None:
    better, worse = ("a", "b") if row["response_a"] == BETTER else ("b", "a")
    entry = label(row, choice=better, **{f"score_{better}": 9, f"score_{worse}": 2})
    meta = {f"system_{better}": "gpt", f"system_{worse}": "llama", "study": "v1"}
    models = {f"model_{better}": "gpt", f"model_{worse}": "llama"}
    texts, (said,) = imported(tmp_path, {"prompt": "", **row, **models, "labels": [entry], "meta": meta})
    side, other = ("a", "b") if side_of(texts, BETTER) == "a" else ("b", "a")
    assert said.choice == side
    assert said.metadata == {f"score_{side}": 9, f"score_{other}": 2}
    assert texts.comparison.metadata == {f"system_{side}": "gpt", f"system_{other}": "llama", "study": "v1"}
    assert getattr(texts, f"response_{side}").model == "gpt"


@pytest.mark.parametrize("row", ROWS)
def test_a_rationale_that_cannot_be_turned_says_so(tmp_path: Path, row: dict[str, Any]) -> None:
    entry = label(row, preference=0.5, rationale="The first is better.")
    texts, (said,) = imported(tmp_path, {"prompt": "", **row, "labels": [entry]})
    turned = texts.response_a.text != row["response_a"]
    assert said.metadata == ({"rationale_order": "ba"} if turned else {})


@pytest.mark.parametrize("name", ["chosen_first", "rejected_first"])
def test_chosen_wins_whatever_its_id(tmp_path: Path, name: str) -> None:
    chosen, rejected = (BETTER, WORSE) if name == "chosen_first" else (WORSE, BETTER)
    texts, (said,) = imported(tmp_path, {"prompt": "", "chosen": chosen, "rejected": rejected})
    assert said.choice == side_of(texts, chosen)


LABELS = st.fixed_dictionaries(
    {
        "annotator": st.sampled_from(["x", "y"]),
        "source": st.sampled_from(["human", "judge"]),
        "preference": st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]),
    },
    optional={
        "order": st.sampled_from(["ab", "ba"]),
        "score_a": st.integers(1, 5),
        "score_b": st.integers(1, 5),
        "strength": st.integers(1, 3),
        "repeat": st.integers(0, 2),
    },
)


def turned(row: dict[str, Any]) -> dict[str, Any]:
    """Write the same row the other way round, worked out independently of the import."""
    swap = {"response_a": "response_b", "response_b": "response_a", "score_a": "score_b", "score_b": "score_a"}
    labels = []
    for entry in row["labels"]:
        other = {swap.get(name, name): value for name, value in entry.items()}
        other["preference"] = 1.0 - entry["preference"]
        if "order" in entry:
            other["order"] = "ba" if entry["order"] == "ab" else "ab"
        labels.append(other)
    return {**{swap.get(name, name): value for name, value in row.items()}, "labels": labels}


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompt=st.text("pq", max_size=3),
    texts=st.lists(st.text("xyz", min_size=1, max_size=5), min_size=2, max_size=2, unique=True),
    labels=st.lists(LABELS, max_size=4),
)
def test_a_row_written_the_other_way_round_gives_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, texts: list[str], labels: list[dict[str, Any]]
) -> None:
    row = {"prompt": prompt, "response_a": texts[0], "response_b": texts[1], "labels": labels}
    digests = []
    for written in (row, turned(row)):
        folder = tmp_path_factory.mktemp("turned")
        imported(folder, written)
        with Store.open(folder / "store.db") as store:
            digests.append(store.digest(*KINDS))
    assert digests[0] == digests[1]
