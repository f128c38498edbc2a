"""Every format that is understood, read from files of every type."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewardkit.config import ImportConfig
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Message, Rating

PAIRS = [
    {"prompt": "Say hi.", "response_a": "Hi!", "response_b": "No.", "choice": "a"},
    {"prompt": "Say bye.", "response_a": "Why?", "response_b": "Bye!", "choice": "b"},
    {"prompt": "", "response_a": "One.", "response_b": "Two.", "choice": "tie"},
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_arrow(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def save_to_disk(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the layout of `datasets.Dataset.save_to_disk`, in two shards."""
    folder.mkdir(parents=True)
    half = len(rows) // 2
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    write_arrow(folder / names[0], rows[:half])
    write_arrow(folder / names[1], rows[half:])
    (folder / "dataset_info.json").write_text('{"features": {}}')
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_bytes(orjson.dumps(state))


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    """Write rows as a file or folder of a kind."""
    path = folder / f"data.{kind}"
    if kind == "csv":
        write_csv(path, rows)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "arrow":
        write_arrow(path, rows)
    elif kind == "saved":
        save_to_disk(path, rows)
    elif kind == "saved-splits":
        save_to_disk(path / "train", rows[:2])
        save_to_disk(path / "test", rows[1:])
        (path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    elif kind == "folder":
        path.mkdir()
        pq.write_table(pa.Table.from_pylist(rows[:1]), path / "one.parquet")
        (path / "two.jsonl").write_bytes(lines(rows[1:]))
        (path / "README.md").write_text("about the data")
    else:
        _write_json(path, kind, rows)
    return path


def _write_json(path: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    data = (
        orjson.dumps(rows, option=orjson.OPT_INDENT_2) if kind.startswith("json") and "l" not in kind else lines(rows)
    )
    if kind == "bom.jsonl":
        data = b"\xef\xbb\xbf" + data
    path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)


def imported(store: Store, folder: Path, path: Path, **options: Any) -> ImportSummary:
    return import_files(store, [path], ImportConfig(files=("-",), **options), rejects=folder / "rejects.jsonl")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


KINDS = "csv parquet arrow saved saved-splits folder jsonl bom.jsonl ndjson jsonl.gz json json.gz".split()


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_file_gives_the_same_content(tmp_path: Path, store: Store, kind: str) -> None:
    with Store.open(tmp_path / "expected.db") as expected:
        imported(expected, tmp_path, write(tmp_path, "jsonl", PAIRS), source="data")
        summary = imported(store, tmp_path, write(tmp_path, kind, PAIRS), source="data")
        assert summary.added["comparisons"] == 3
        assert summary.rejected == 0
        names = ("prompts", "responses", "comparisons", "annotators", "labels")
        assert store.digest(*names) == expected.digest(*names)


def test_a_flat_row_becomes_a_comparison_with_a_label(tmp_path: Path, store: Store) -> None:
    summary = imported(store, tmp_path, write(tmp_path, "csv", PAIRS[:1]))
    (texts,), (label,) = store.comparisons(), store.labels()
    assert texts.prompt.messages == (Message(role="user", content="Say hi."),)
    assert {texts.response_a.text, texts.response_b.text} == {"Hi!", "No."}
    assert texts.comparison.source == "data"
    assert label.choice == ("a" if texts.response_a.text == "Hi!" else "b")
    assert store.annotators()[label.annotator_id] == Annotator.of("human", "data")
    assert summary.rejects is None and not (tmp_path / "rejects.jsonl").exists()


def test_columns_of_a_flat_row_are_read(tmp_path: Path, store: Store) -> None:
    row = {**PAIRS[0], "choice": "", "preference": "0.9", "annotator": "GPT-4/Vanilla", "source": "judge"}
    row |= {"strength": "2", "order": "ab", "task": "greeting", "id": "7", "repeat": "1", "seconds": ""}
    imported(store, tmp_path, write(tmp_path, "csv", [row]))
    (label,), (texts,) = store.labels(), store.comparisons()
    first = texts.response_a.text == "Hi!"
    assert label.p_a == pytest.approx(0.9 if first else 0.1)
    assert (label.strength, label.order_shown, label.repeat) == (2.0, "ab" if first else "ba", 1)
    judge = store.annotators()[label.annotator_id]
    assert (judge.kind, judge.model, judge.protocol) == ("judge", "GPT-4", "Vanilla")
    assert texts.prompt.task == "greeting"
    (name,) = store.records("external_ids")
    assert (name.source, name.kind, name.external_id, name.record_id) == (
        "data",
        "comparison",
        "7",
        texts.comparison.id,
    )


def test_a_comparison_without_a_label_is_imported(tmp_path: Path, store: Store) -> None:
    row = {name: PAIRS[0][name] for name in ("prompt", "response_a", "response_b")}
    summary = imported(store, tmp_path, write(tmp_path, "jsonl", [row]))
    assert (summary.added["comparisons"], summary.added.get("labels", 0)) == (1, 0)


WORDS = [("a", "a"), ("B", "b"), ("model_a", "a"), ("response_b", "b"), ("Tie", "tie"), ("tie (bothbad)", "both_bad")]


@pytest.mark.parametrize(("word", "expected"), WORDS)
@pytest.mark.parametrize("column", ["choice", "winner", "preference"])
def test_words_for_a_choice(tmp_path: Path, store: Store, column: str, word: str, expected: str) -> None:
    row = {"prompt": "", "response_a": "x", "response_b": "y", column: word}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row]))
    (texts,), (label,) = store.comparisons(), store.labels()
    turned = texts.response_a.text == "y"
    assert label.choice == ({"a": "b", "b": "a"}.get(expected, expected) if turned else expected)


@pytest.mark.parametrize("column", ["choice", "winner"])
@pytest.mark.parametrize(("value", "expected"), [("1", "x"), ("2", "y"), (1, "x"), (2, "y")])
def test_the_first_and_the_second(tmp_path: Path, store: Store, column: str, value: str | int, expected: str) -> None:
    row = {"prompt": "", "response_a": "x", "response_b": "y", column: value}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row]))
    assert winners(store) == {"": expected}


def winners(store: Store) -> dict[str, str]:
    """Return the text of the winner by prompt."""
    texts = {c.comparison.id: c for c in store.comparisons()}
    found = {}
    for label in store.labels():
        c = texts[label.comparison_id]
        prompt = c.prompt.messages[0].content if c.prompt.messages else ""
        found[prompt] = {"a": c.response_a.text, "b": c.response_b.text}.get(label.choice or "", label.choice)
    return found


# The columns' names count as the file has them, also where they are crossed or mean a side elsewhere.
OWN_NAMES = [
    ("left", "right", {"left": "x", "right": "y", " LEFT ": "x", "a": "x", "response_b": "y", "tie": "tie"}),
    ("response_b", "response_a", {"response_b": "x", "response_a": "y", "a": "x"}),
    ("b", "a", {"b": "x", "a": "y"}),
    ("0", "1", {"0": "x", "1": "y"}),
    ("text", "Text", {"a": "x", "b": "y"}),
]


@pytest.mark.parametrize("field", ["preference", "choice", "winner"])
@pytest.mark.parametrize(("first", "second", "said"), OWN_NAMES)
def test_the_winner_by_its_columns_own_name(
    tmp_path: Path, store: Store, field: str, first: str, second: str, said: dict[str, str]
) -> None:
    rows = [{"question": word, first: "x", second: "y", "best": word} for word in said]
    columns = {"prompt": "question", "response_a": first, "response_b": second, field: "best"}
    assert imported(store, tmp_path, write(tmp_path, "csv", rows), map=columns).rejected == 0
    assert winners(store) == said


def test_the_winner_by_its_models_column(tmp_path: Path, store: Store) -> None:
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "ours": "m1", "theirs": "m2", "winner": "theirs"}
    imported(store, tmp_path, write(tmp_path, "csv", [row]), map={"model_a": "ours", "model_b": "theirs"})
    assert winners(store) == {"p": "y"}


def test_columns_of_other_names_are_mapped(tmp_path: Path, store: Store) -> None:
    # The names are crossed on purpose: renaming one after the other would lose a column.
    row = {"question": "Say hi.", "response_b": "Hi!", "response_a": "No.", "winner": "a"}
    crossed = {"prompt": "question", "response_a": "response_b", "response_b": "response_a"}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row]), map=crossed)
    (texts,), (label,) = store.comparisons(), store.labels()
    winner = texts.response_a if label.choice == "a" else texts.response_b
    assert (texts.prompt.messages[0].content, winner.text) == ("Say hi.", "Hi!")


def test_a_prompt_may_be_messages_and_options_name_source_and_task(tmp_path: Path, store: Store) -> None:
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]
    row = {"prompt": prompt, "response_a": "x", "response_b": "y", "meta": {"task": "own", "author": "ann"}}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row]), source="mine", task="chat")
    (texts,) = store.comparisons()
    assert [m.role for m in texts.prompt.messages] == ["system", "user"]
    assert (texts.prompt.task, texts.comparison.source) == ("chat", "mine")
    assert texts.comparison.metadata == {"task": "own", "author": "ann"}


RATED = {
    "id": "r1",
    "prompt": "",
    "response": "A story.",
    "meta": {"task": "fiction", "level": 3},
    "scores": [
        {"annotator": "editor", "source": "human", "criteria": {"style": 7, "plot": None}, "scale": [0, 10]},
        {"annotator": "gpt", "source": "judge", "criteria": {"style": 2.5}, "scale": [1, 5], "repeat": 1},
        {"annotator": "mean", "source": "human", "criteria": {"style": 3}, "scale": [1, 5], "aggregate": True},
    ],
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_ratings(tmp_path: Path, store: Store, kind: str) -> None:
    imported(store, tmp_path, write(tmp_path, kind, [RATED]))
    (response,), (prompt,) = store.responses(), store.prompts()
    assert (response.text, response.metadata, prompt.task) == ("A story.", {"task": "fiction", "level": 3}, "fiction")
    assert prompt.messages == ()
    editor, judge = Annotator.of("human", "editor"), Annotator.of("judge", "gpt", model="gpt")
    mean = Annotator.of("human", "mean", settings={"aggregate": True})
    expected = [
        Rating.of(response.id, editor.id, "style", value=7, scale=(0, 10)),
        Rating.of(response.id, judge.id, "style", value=2.5, scale=(1, 5), repeat=1),
        Rating.of(response.id, mean.id, "style", value=3, scale=(1, 5)),
    ]
    assert list(store.records("ratings")) == sorted(expected, key=lambda rating: rating.id)
    assert set(store.annotators()) == {editor.id, judge.id, mean.id}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def reply(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SKY = [user("What color is the sky?")]
TRL = {
    "plain": {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    "plain implicit": {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    "implicit, shared first letters": {"chosen": "The sky is blue.", "rejected": "The sky is black."},
    "conversational": {"prompt": SKY, "chosen": [reply("Blue.")], "rejected": [reply("Green.")]},
    "conversational implicit": {"chosen": [*SKY, reply("Blue.")], "rejected": [*SKY, reply("Green.")]},
    "prompt as text, and repeated": {
        "prompt": SKY[0]["content"],
        "chosen": [*SKY, reply("Blue.")],
        "rejected": [*SKY, reply("Green.")],
    },
    "transcript": {
        "chosen": "\n\nHuman: What color?\n\nAssistant: It is blue.",
        "rejected": "\n\nHuman: What color?\n\nAssistant: It is green.",
    },
}
EXPECTED = {
    "plain": ("The sky is", " blue.", " green."),
    "plain implicit": ("The sky is", "blue.", "green."),
    "implicit, shared first letters": ("The sky is", "blue.", "black."),
    "conversational": ("What color is the sky?", "Blue.", "Green."),
    "conversational implicit": ("What color is the sky?", "Blue.", "Green."),
    "prompt as text, and repeated": ("What color is the sky?", "Blue.", "Green."),
    "transcript": ("\n\nHuman: What color?\n\nAssistant:", "It is blue.", "It is green."),
}


@pytest.mark.parametrize("name", TRL)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_trl_preferences(tmp_path: Path, store: Store, name: str, kind: str) -> None:
    imported(store, tmp_path, write(tmp_path, kind, [TRL[name]]))
    (texts,), (label,) = store.comparisons(), store.labels()
    chosen, rejected = texts.response_a.text, texts.response_b.text
    if label.choice == "b":
        chosen, rejected = rejected, chosen
    assert (texts.prompt.messages[0].content, chosen, rejected) == EXPECTED[name]
    assert store.annotators()[label.annotator_id] == Annotator.of("human", "data")


SCORES = [((8, 5), 3.0), ((5, 5), None), ((4, 5), None), (("", ""), None)]


@pytest.mark.parametrize(("scores", "strength"), SCORES)
def test_the_difference_of_scores_is_the_strength(
    tmp_path: Path, store: Store, scores: tuple[Any, Any], strength: float | None
) -> None:
    row = {**TRL["plain"], "score_chosen": scores[0], "score_rejected": scores[1], "source": "evol_instruct"}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row]))
    (label,) = store.labels()
    assert label.strength == strength


AGGREGATE = [(True, True), ("true", True), (1, True), (False, False), ("false", False), (None, False), ("", False)]


@pytest.mark.parametrize(("value", "marked"), AGGREGATE)
def test_an_aggregate_label_says_so(tmp_path: Path, store: Store, value: Any, marked: bool) -> None:
    entry = {"annotator": "majority", "source": "human", "preference": 0.5, "aggregate": value, "n_raters": 3}
    row = {"prompt": "", "response_a": "x", "response_b": "y", "labels": [entry]}
    flat = {**row, **entry, "prompt": "flat", "labels": None}
    imported(store, tmp_path, write(tmp_path, "jsonl", [row, flat]))
    for label in store.labels():
        assert label.metadata == {"n_raters": 3} | ({"aggregate": True} if marked else {})
    assert store.counts()["labels"] == 2


@pytest.mark.parametrize(("value", "marked"), AGGREGATE)
def test_an_aggregate_rating_says_so(tmp_path: Path, store: Store, value: Any, marked: bool) -> None:
    score = {"annotator": "mean", "source": "human", "criteria": {"style": 3}, "scale": [1, 5], "aggregate": value}
    imported(store, tmp_path, write(tmp_path, "jsonl", [{"prompt": "", "response": "x", "scores": [score]}]))
    (annotator,) = store.annotators().values()
    assert annotator.settings == ({"aggregate": True} if marked else {})


def test_importing_twice_adds_nothing(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path, "jsonl", [{**row, "id": str(at)} for at, row in enumerate(PAIRS)])
    first = imported(store, tmp_path, path)
    second = imported(store, tmp_path, path)
    assert dict(second.added) == {}
    assert second.known == first.added
    assert second.rejected == 0
