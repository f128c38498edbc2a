"""Bad files at the verbs that read files: import, export, score's stream. One clear error, or counted rejects."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from rewardkit.store.store import Store
from rewardkit.store.tables import VERSION_TABLE

GOOD = {
    "id": "1",
    "prompt": "Tell a joke.",
    "response_a": "A man walks into a bar.",
    "response_b": "No.",
    "labels": [{"annotator": "ann", "source": "human", "preference": 1.0}],
}
RATED = {
    "id": "1",
    "prompt": "Tell a joke.",
    "response": "No.",
    "scores": [{"annotator": "ann", "source": "human", "criteria": {"wit": 3}, "scale": [0, 10]}],
}


@pytest.fixture
def rows(here):
    """Write rows as JSON Lines: `rows(row, …)`; a text or bytes stand as they are."""

    def save(*items, name="rows.jsonl"):
        lines = [i if isinstance(i, bytes) else (i if isinstance(i, str) else json.dumps(i)).encode() for i in items]
        (here / name).write_bytes(b"\n".join(lines) + b"\n")
        return name

    return save


def counts(path="store.db"):
    with Store.open(path, create=False) as store:
        return store.counts()


def test_a_missing_file(refused, rows):
    refused("import", "rows.jsonl", "--to", "store.db", says=("rows.jsonl: no such file", "check the path"))
    refused("import", rows(GOOD), "gone.jsonl", "--to", "store.db", says="gone.jsonl: no such file")


def test_a_wrong_column_and_the_nearest_one(refused, rows):
    file = rows({"question": "?", "prompt": "?", "responce_a": "x", "response_b": "y"})
    refused(
        "import", file, "--to", "store.db", says=("found question, prompt, responce_a", "--map response_a=responce_a")
    )


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("promt=prompt", ("unknown field 'promt'", "did you mean 'prompt'?")),
        ("prompt=promt", ("no column 'promt'", "did you mean 'prompt'?")),
        ("prompt", ("cannot read 'prompt'", "field=column")),
        ("prompt=", ("cannot read 'prompt='", "field=column")),
    ],
)
def test_a_wrong_mapping(refused, rows, mapping, says):
    refused("import", rows(GOOD), "--to", "store.db", "--map", mapping, says=says)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "rows.jsonl"),
        (b"\n\n", "rows.jsonl"),
        (b"not json at all", "rows.jsonl"),
        ("prompt,response_a\nü,b\n".encode("utf-16"), "rows.csv"),
        (b"PAR1 this is none", "rows.parquet"),
        (b"{}", "rows.docx"),
        (b"1\n2\n", "rows.jsonl"),
    ],
)
def test_a_file_that_is_not_understood(refused, here, content, name):
    (here / name).write_bytes(content)
    refused("import", name, "--to", "store.db", says=name)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({**GOOD, "response_b": ""}, "response_b is empty"),
        ({**GOOD, "response_b": " \n"}, "response_b is empty"),
        ({**GOOD, "response_b": None}, "response_b is missing"),
        ({**GOOD, "response_b": GOOD["response_a"]}, "identical"),
        ({**GOOD, "labels": [{"annotator": "ann", "preference": 2}]}, "preference 2 is not between 0 and 1"),
        ({**GOOD, "labels": [{"annotator": "ann", "preference": float("nan")}]}, "finite"),
        ({**GOOD, "labels": [{"annotator": "", "preference": 1}]}, "names no annotator"),
        (json.dumps(GOOD).encode().replace(b"joke", b"j\xfcke"), "UTF-8"),
        (json.dumps(GOOD)[:-9], ""),
        ("[1, 2]", ""),
        ({**GOOD, "response_b": "Other content."}, "the id '1' was given before"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_good_ones_stay(rewardkit, rows, here, bad, reason):
    ended = rewardkit(
        "import", rows(GOOD, bad, {**GOOD, "id": "3", "response_b": "Yes."}), "--to", "store.db", "--json"
    )
    assert ended.code == 0
    found = json.loads(ended.out)
    assert found["rejected"] == 1 and found["added"]["comparisons"] == 2
    (reject,) = [json.loads(line) for line in (here / found["rejects"]).read_text().splitlines()]
    assert reject["line"] == 2 and reject["file"] == "rows.jsonl" and reason in reject["reason"]
    assert counts()["comparisons"] == 2 and counts()["labels"] == 2


def test_a_file_of_bad_rows_only(rewardkit, rows, here):
    ended = rewardkit("import", rows({**GOOD, "response_b": ""}), "--to", "store.db", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert "rows.jsonl: every row was rejected (1), most often (1) because: response_b is empty" in ended.err
    assert json.loads((here / "rows.jsonl.rejects.jsonl").read_text())["line"] == 1
    assert "rows.jsonl.rejects.jsonl" in ended.err


@pytest.mark.parametrize("value", ["NaN", "Infinity", "11", '"great"'])
def test_a_rating_that_is_none_is_rejected(rewardkit, rows, value):
    bad = json.dumps({**RATED, "id": "2", "response": "Yes."}).replace('"wit": 3', f'"wit": {value}')
    ended = rewardkit("import", rows(RATED, bad), "--to", "store.db", "--json")
    assert ended.code == 0 and json.loads(ended.out)["rejected"] == 1
    assert counts()["ratings"] == 1


def test_the_same_id_with_other_content_in_a_later_import(rewardkit, rows):
    assert rewardkit("import", rows(GOOD), "--to", "store.db").code == 0
    before = counts()
    file = rows({**GOOD, "prompt": "Another prompt."}, GOOD)
    ended = rewardkit("import", file, "--to", "store.db", "--json")
    assert ended.code == 0 and json.loads(ended.out)["rejected"] == 1
    assert counts() == before


@pytest.mark.parametrize("options", [("--pairs", "wit", "--min-difference", "-1"), ("--min-difference", "little")])
def test_a_wrong_option(refused, rows, options):
    refused("import", rows(RATED), "--to", "store.db", *options, says="min")


def test_a_criterion_that_no_rating_has(refused, rows, rewardkit):
    file = rows(RATED, {**RATED, "id": "2", "response": "Yes."})
    assert rewardkit("import", file, "--to", "store.db").code == 0
    refused("import", file, "--to", "store.db", "--pairs", "wits", says=("'wits'", "did you mean 'wit'?"))


@pytest.mark.parametrize("target", ["rows.jsonl/store.db", "folder", "mysql://host/name", "://", "rows.jsonl"])
def test_a_database_that_cannot_be(refused, rows, here, target):
    (here / "folder").mkdir()
    refused("import", rows(GOOD), "--to", target)


def test_a_place_for_rejects_that_cannot_be_written(refused, rows):
    refused("import", rows(GOOD), "--to", "store.db", "--rejects", "rows.jsonl/x", says="rows.jsonl: cannot be written")


def test_a_place_for_rejects_that_holds_something_else(rewardkit, rows, here):
    (here / "notes.txt").write_text("my notes")
    for place in (rows(GOOD), "notes.txt"):
        before = (here / place).read_bytes()
        ended = rewardkit("import", "rows.jsonl", "--to", "store.db", "--rejects", place)
        assert ended.code == 2 and f"{place}: the rejected rows would replace" in ended.err
        assert (here / place).read_bytes() == before


@pytest.fixture
def foreign(here):
    with closing(sqlite3.connect(here / "foreign.db")) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    return "foreign.db"


@pytest.fixture
def newer(here):
    Store.open(here / "newer.db").close()
    with closing(sqlite3.connect(here / "newer.db")) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.commit()
    return "newer.db"


def test_databases_of_others_and_of_the_future(refused, rows, foreign, newer, here):
    file = rows(GOOD)
    for verb in (("import", file, "--to"), ("export",)):
        end = () if verb[0] == "import" else ("out.jsonl",)
        refused(*verb, foreign, *end, says=("another program", "songs"))
        refused(*verb, newer, *end, says="newer")
    assert not (here / "out.jsonl").exists()


def test_export_of_nothing_and_to_nowhere(refused, rows, rewardkit):
    refused("export", "gone.db", "out.jsonl", says=("gone.db", "no database"))
    assert rewardkit("import", rows(GOOD), "--to", "store.db").code == 0
    refused("export", "store.db", "rows.jsonl/out", says="rows.jsonl: cannot be written")
    refused("export", "store.db", "out.jsonl", "--format", "jsonn", says=("jsonn", "did you mean 'jsonl'?"))


def test_export_onto_the_database_itself(refused, rows, rewardkit):
    assert rewardkit("import", rows(GOOD), "--to", "store.db").code == 0
    refused("export", "store.db", "store.db", says=("store.db", "the database that is exported", "fix: name another"))
    assert counts()["labels"] == 1


def test_scores_onto_the_file_that_is_scored_or_into_the_model(refused, rows):
    file = rows(GOOD)
    refused("score", "model", file, "--out", file, says=("rows.jsonl: the scores would replace", "fix: name another"))
    refused("score", "model", file, "--out", "model/out.jsonl", says="model/out.jsonl: the scores would be written")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("imprt", "x"), "imprt"),
        (("import",), "FILE"),
        (("import", "x"), "--to"),
        (("train",), "CONFIG"),
        (("train", "a.yaml", "--sets", "x=1"), "--sets"),
        (("score", "model"), "FILE"),
    ],
)
def test_a_command_that_is_none(refused, words, says):
    refused(*words, says=says)
