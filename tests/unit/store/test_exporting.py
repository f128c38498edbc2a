"""What is exported is what is stored: importing it gives the same store, exporting that the same file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.config import ImportConfig
from rewardkit.errors import ConfigError, OutputError
from rewardkit.store.exporting import export, majorities
from rewardkit.store.importing import import_files
from rewardkit.store.rows import KINDS, ExternalId
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Rating, Record, Response

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
LABEL = st.tuples(st.sampled_from(["ann", "bob", "gpt"]), st.sampled_from(["a", "b", "tie", "both_bad", None]))


@st.composite
def stores(draw: st.DrawFn) -> list[Record]:
    """Some prompts, their responses, comparisons and labels."""
    people = {name: Annotator.of("judge" if name == "gpt" else "human", name) for name in ("ann", "bob", "gpt")}
    records: list[Record] = list(people.values())
    for question in draw(st.lists(TEXT, min_size=1, max_size=3, unique=True)):
        prompt = Prompt.of((Message(role="user", content=question),), task=draw(TEXT), note=draw(TEXT))
        texts = draw(st.lists(TEXT.filter(str.strip), min_size=2, max_size=3, unique=True))
        responses = [Response.of(prompt.id, text, metadata={"n": draw(st.floats(-1, 1))}) for text in texts]
        split = draw(st.sampled_from([None, "train", "test"]))
        comparison = Comparison.of(prompt.id, responses[0].id, responses[1].id, source=draw(TEXT), split=split)
        records += [prompt, *responses, comparison]
        for name, choice in draw(st.lists(LABEL, max_size=4)):
            status = "ok" if choice else "failed"
            records.append(Label.of(comparison.id, people[name].id, choice=choice, status=status, reason=draw(TEXT)))
            value = draw(st.floats(1, 5))
            records.append(Rating.of(responses[0].id, people[name].id, draw(TEXT), value=value, scale=(1, 5)))
        name = draw(TEXT)
        records.append(ExternalId(source="s", kind="comparison", external_id=name or question, record_id=comparison.id))
    return records


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=stores())
def test_the_round_trip_is_the_identity(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    with Store.open(new_database()) as first, Store.open(new_database()) as second:
        first.add(records)
        written = export(first, folder / "first.jsonl", "jsonl")
        options = ImportConfig(files=("-",))
        summary = import_files(second, [folder / "first.jsonl"], options, rejects=folder / "rejects.jsonl")
        assert summary.rejected == 0, (folder / "rejects.jsonl").read_text()
        export(second, folder / "second.jsonl", "jsonl")
        assert sum(written.written.values()) == sum(first.counts().values())
        for name in KINDS:
            assert list(first.records(name)) == list(second.records(name))
    assert (folder / "first.jsonl").read_bytes() == (folder / "second.jsonl").read_bytes()


def compared(votes: dict[str, list[str]]) -> list[Record]:
    """One comparison ("good" is better) with the votes of each kind of annotator."""
    prompt = Prompt.of((Message(role="user", content="Q"),))
    good, poor = Response.of(prompt.id, "good"), Response.of(prompt.id, "poor")
    comparison = Comparison.of(prompt.id, good.id, poor.id)
    sides = {"good": "a" if good.id < poor.id else "b", "poor": "b" if good.id < poor.id else "a"}
    records: list[Record] = [prompt, good, poor, comparison]
    for kind, said in votes.items():
        for number, vote in enumerate(said):
            annotator = Annotator.of(kind, f"{kind}{number}")  # type: ignore[arg-type]
            choice = sides.get(vote, vote)
            failed = vote == "failed"
            status, answer = ("failed", None) if failed else ("ok", choice)
            records += [annotator, Label.of(comparison.id, annotator.id, choice=answer, status=status)]
    return records


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"human": ["good"]}, "good"),
        ({"human": ["poor", "poor", "good"]}, "poor"),
        ({"human": ["good", "poor"]}, "ties"),
        ({"human": ["tie", "both_bad"]}, "ties"),
        ({"human": ["tie", "good"]}, "ties"),
        ({"human": ["good", *["tie"] * 5]}, "ties"),
        ({"human": ["both_bad", "both_bad", "good"]}, "ties"),
        ({"human": ["good", "good", "tie", "both_bad", "poor"]}, "good"),
        ({"human": ["good"], "judge": ["poor", "poor"]}, "good"),
        ({"human": ["failed"], "judge": ["poor"]}, "poor"),
        ({"judge": ["failed"]}, "unlabelled"),
        ({}, "unlabelled"),
    ],
)
def test_trl_gets_what_the_majority_chose(tmp_path: Path, votes: dict[str, list[str]], expected: str) -> None:
    with Store.open(tmp_path / "store.db") as store:
        store.add(compared(votes))
        summary = export(store, tmp_path, "trl")
        ((_, outcome),) = majorities(store)
    assert summary.path == tmp_path / "trl.jsonl"
    lines = [json.loads(line) for line in summary.path.read_text().splitlines()]
    if expected in ("ties", "unlabelled"):
        assert (lines, dict(summary.skipped), outcome) == ([], {expected: 1}, expected)
        return
    other = "poor" if expected == "good" else "good"
    assert lines == [
        {
            "prompt": [{"role": "user", "content": "Q"}],
            "chosen": [{"role": "assistant", "content": expected}],
            "rejected": [{"role": "assistant", "content": other}],
        }
    ]


@pytest.mark.parametrize(
    ("annotator", "said", "expected"),
    [
        # Somebody who is asked again has one vote.
        (Annotator.of("human", "human0"), {"repeat": 1}, "ties"),
        (Annotator.of("human", "s", simulated=True), {}, "ties"),
        (Annotator.of("human", "rae", rater_group="adjudicator"), {}, "good"),
        (Annotator.of("human", "rae"), {"metadata": {"adjudicates": True}}, "good"),
        (Annotator.of("human", "one more"), {}, "good"),
    ],
)
def test_who_has_a_vote(tmp_path: Path, annotator: Annotator, said: dict[str, Any], expected: str) -> None:
    records = compared({"human": ["good", "poor"]})
    first = next(record for record in records if isinstance(record, Label))
    records += [annotator, Label.of(first.comparison_id, annotator.id, choice=first.choice, **said)]
    with Store.open(tmp_path / "store.db") as store:
        store.add(records)
        ((texts, outcome),) = majorities(store)
    winner = {"a": texts.response_a.text, "b": texts.response_b.text}
    assert winner.get(outcome, outcome) == expected


@pytest.mark.parametrize(
    ("votes", "more"),
    [
        ({"human": ["good", "good", "good"]}, Annotator.of("human", "rae", rater_group="adjudicator")),
        ({"judge": ["good", "good", "good"]}, Annotator.of("human", "s", simulated=True)),
    ],
)
def test_one_word_goes_before_many_of_less_weight(tmp_path: Path, votes: dict[str, list[str]], more: Annotator) -> None:
    records = compared(votes)
    first = next(record for record in records if isinstance(record, Label))
    records += [more, Label.of(first.comparison_id, more.id, choice="tie")]
    with Store.open(tmp_path / "store.db") as store:
        store.add(records)
        assert [outcome for _, outcome in majorities(store)] == ["ties"]


def test_an_edited_label_counts_once(tmp_path: Path) -> None:
    records = compared({"human": ["poor"]})
    said = next(record for record in records if isinstance(record, Label))
    turned = "a" if said.choice == "b" else "b"
    records.append(Label.of(said.comparison_id, said.annotator_id, choice=turned, supersedes=said.id))
    with Store.open(tmp_path / "store.db") as store:
        store.add(records)
        summary = export(store, tmp_path / "out.jsonl", "trl")
    assert json.loads(summary.path.read_text())["chosen"][0]["content"] == "good"


def test_what_trl_reads_comes_back_as_the_same_comparison(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store, Store.open(tmp_path / "other.db") as other:
        store.add(compared({"human": ["good"]}))
        summary = export(store, tmp_path, "trl")
        import_files(other, [summary.path], ImportConfig(files=("-",)), rejects=tmp_path / "rejects.jsonl")
        assert other.digest("prompts", "responses", "comparisons") == store.digest(
            "prompts", "responses", "comparisons"
        )
        assert [label.choice for label in other.labels()] == [label.choice for label in store.labels()]


def test_an_unknown_format_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Store.open(tmp_path / "store.db") as store:
        with pytest.raises(ConfigError, match="unknown name 'jsonll'") as caught:
            export(store, tmp_path, "jsonll")
        assert "'jsonl'" in caught.value.fix
        with pytest.raises(OutputError):
            export(store, tmp_path / "file" / "out.jsonl", "jsonl")


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm", "symbolic", "hard", "folder/../store.db"])
@pytest.mark.parametrize("form", ["jsonl", "trl"])
def test_an_export_never_replaces_its_own_database(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "store.db"
    (tmp_path / "folder").mkdir()
    with Store.open(path) as store:
        store.add(compared({"human": ["good"]}))
        (tmp_path / "symbolic").symlink_to(path)
        (tmp_path / "hard").hardlink_to(path)
        before = sorted(tmp_path.iterdir())
        with pytest.raises(OutputError, match="database that is exported") as caught:
            export(store, tmp_path / name, form)
        assert name in caught.value.where and caught.value.fix
        assert sorted(tmp_path.iterdir()) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchone() == (1,)


def test_a_database_that_is_reached_by_a_link_is_not_replaced_either(tmp_path: Path) -> None:
    Store.open(tmp_path / "store.db").close()
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    with Store.open(tmp_path / "link.db") as store:
        for name in ("store.db", "store.db-wal", "link.db"):
            with pytest.raises(OutputError, match="database that is exported"):
                export(store, tmp_path / name, "jsonl")
        # A folder's own file is made in it; only that file counts.
        assert export(store, tmp_path, "jsonl").path == tmp_path / "jsonl.jsonl"


def test_what_a_server_holds_is_no_file(database_url: str, tmp_path: Path) -> None:
    with Store.open(database_url) as store:
        store.add(compared({"human": ["good"]}))
        assert export(store, tmp_path / "other.db", "jsonl").written["labels"] == 1


def test_a_folder_that_may_not_be_entered_is_an_output_error(tmp_path: Path, open_folder: Path, as_user: Any) -> None:
    locked = open_folder / "locked"
    locked.mkdir(mode=0)
    with Store.open(tmp_path / "store.db") as store, as_user():
        with pytest.raises(OutputError, match="Permission denied"):
            export(store, locked / "out.jsonl", "jsonl")


@pytest.mark.parametrize("name", ["out.parquet", "out.CSV", "out.jsonl.gz", "-"])
def test_a_name_that_promises_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / "store.db") as store, pytest.raises(OutputError, match="JSON Lines"):
        export(store, tmp_path / name, "jsonl")
    assert not (tmp_path / name).exists()


def test_labels_as_a_table_are_read_again_by_the_import(tmp_path: Path) -> None:
    prompt = Prompt.of((Message(role="user", content="Write a line."), Message(role="assistant", content="No.")))
    one, other = Response.of(prompt.id, "one", model="m"), Response.of(prompt.id, "other")
    comparison = Comparison.of(prompt.id, one.id, other.id, source="s", split="test")
    ann, judge = Annotator.of("human", "ann", rater_group="crowd"), Annotator.of("judge", "gpt")
    said = Label.of(comparison.id, ann.id, choice="b", strength=2, criteria={"wit": "a"}, order_shown="ba", seconds=3.5)
    failed = Label.of(comparison.id, judge.id, status="failed", reason="no reply")
    with Store.open(tmp_path / "s.db") as store, Store.open(tmp_path / "again.db") as again:
        store.add([prompt, one, other, comparison, ann, judge, said, failed])
        summary = export(store, tmp_path, "parquet")
        assert (summary.path, summary.written) == (tmp_path / "parquet.parquet", {"labels": 2})
        rows = {row["annotator"]: row for row in pq.read_table(summary.path).to_pylist()}
        assert rows["ann"]["prompt"][1] == {"role": "assistant", "content": "No."}
        assert (rows["ann"]["preference"], rows["ann"]["strength"], rows["ann"]["seconds"]) == ("b", 2.0, 3.5)
        assert rows["ann"]["criteria"] == '{"wit":"a"}' and rows["gpt"]["source"] == "judge"
        assert (rows["gpt"]["preference"], rows["gpt"]["status"]) == (None, "failed")
        import_files(again, [summary.path], ImportConfig(files=("-",)), rejects=tmp_path / "rejects.jsonl")
        assert [each.comparison.id for each in again.comparisons()] == [comparison.id]
        (label,) = again.labels()
        assert (label.choice, label.strength, label.order_shown) == ("b", 2.0, "ba")
        assert [(each.name, each.rater_group) for each in again.annotators().values()] == [("ann", "crowd")]


def test_an_exported_dataset_gives_its_labels_once(tmp_path: Path) -> None:
    prompt = Prompt.of((Message(role="user", content="Write a line."),))
    one, other = Response.of(prompt.id, "one"), Response.of(prompt.id, "other")
    comparison = Comparison.of(prompt.id, one.id, other.id)
    ann = Annotator.of("human", "ann")
    with Store.open(tmp_path / "s.db") as store, Store.open(tmp_path / "again.db") as again:
        store.add([prompt, one, other, comparison, ann, Label.of(comparison.id, ann.id, choice="a")])
        assert export(store, tmp_path / "set", "dataset").written == {"labels": 1, "comparisons": 1}
        import_files(again, [tmp_path / "set"], ImportConfig(files=("-",)), rejects=tmp_path / "rejects.jsonl")
        assert [(label.choice, again.annotators()[label.annotator_id].name) for label in again.labels()] == [
            ("a", "ann")
        ]


def test_a_dataset_is_a_folder_that_names_its_tables(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db") as store:
        summary = export(store, tmp_path / "set", "dataset")
        assert sorted(path.name for path in summary.path.rglob("*.*")) == [
            "README.md", "labels.parquet", "preferences.parquet",
        ]  # fmt: skip
        with pytest.raises(OutputError, match="something already"):
            export(store, tmp_path / "set", "dataset")
        with pytest.raises(OutputError, match="written as a folder"):
            export(store, tmp_path / "set.parquet", "dataset")
        with pytest.raises(OutputError, match="written as Parquet"):
            export(store, tmp_path / "set.csv", "parquet")
