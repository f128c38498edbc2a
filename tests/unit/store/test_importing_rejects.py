"""A bad row goes to the rejects file with its line and reason; a file that makes no sense stops everything."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewardkit.config import ImportConfig
from rewardkit.errors import DataError, OutputError
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.rows import KINDS, encode
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Message, Prompt, Response

GOOD = {"prompt": "p", "response_a": "x", "response_b": "y", "labels": []}
SAID = {"annotator": "ann", "source": "human", "preference": 1.0}


def imported(database: str | Path, path: Path, **options: Any) -> tuple[ImportSummary, list[dict[str, Any]]]:
    rejects = path.parent / "rejects.jsonl"
    with Store.open(database) as store:
        summary = import_files(store, [path], ImportConfig(files=("-",), **options), rejects=rejects)
    assert rejects.exists() == bool(summary.rejected)
    found = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    assert len(found) == summary.rejected
    return summary, found


def rejected(folder: Path, *lines: bytes, good: bytes | None = None) -> list[dict[str, Any]]:
    """Import lines after a good one, which must come through."""
    path = folder / "data.jsonl"
    path.write_bytes(b"\n".join([good or orjson.dumps(GOOD), *lines]) + b"\n")
    summary, found = imported(folder / "store.db", path)
    assert sum(summary.added.get(kind, 0) for kind in ("comparisons", "responses")) >= 2
    return found


def bad(**fields: Any) -> bytes:
    return json.dumps({**GOOD, "response_b": "z", **fields}).encode()


ROWS = [
    (b"{not json", "not valid JSON"),
    (b'{"prompt": "p"', "not valid JSON"),
    (b'["a", "list"]', "not a JSON object"),
    ('{"prompt": "caf\xe9"}'.encode("latin-1"), "not UTF-8 (byte 16"),
    (b'{"prompt": "\\ud800", "response_a": "x", "response_b": "z"}', "surrogate"),
    (b'{"prompt": "p", "response_a": "x"}', "the row has no response_b"),
    (bad(response_a=""), "response_a is empty"),
    (bad(response_b=" \n"), "response_b is empty"),
    (bad(response_b=None), "response_b is missing"),
    (bad(response_b=7), "response_b is not a text"),
    (bad(response_b="x"), "the two responses are identical"),
    (bad(response_b="nul\x00"), "NUL"),
    (bad(prompt=None), "prompt is missing"),
    (bad(prompt=7), "prompt is neither a text nor a list of messages"),
    (bad(prompt=[{"role": "user"}]), "a message without a role and a text"),
    (bad(prompt=[{"role": "king", "content": "x"}]), "role"),
    (bad(labels="ann"), "labels is not a list"),
    (bad(labels=[{**SAID, "preference": 1.5}]), "preference 1.5 is not between 0 and 1"),
    (bad(labels=[{**SAID, "preference": float("nan")}]), "preference is not a finite number"),
    (bad(labels=[{**SAID, "preference": True}]), "preference is not a number"),
    (bad(labels=[{**SAID, "preference": None}]), "neither a preference nor a choice"),
    (bad(labels=[{**SAID, "preference": None, "choice": "left"}]), "unknown choice 'left'"),
    (bad(labels=[{**SAID, "source": "cat"}]), "unknown source 'cat'"),
    (bad(labels=[{**SAID, "annotator": None}]), "names no annotator"),
    (bad(labels=[{**SAID, "order": "first"}]), "unknown order 'first'"),
    (bad(labels=[{**SAID, "strength": -1}]), "strength"),
    (bad(labels=[{**SAID, "repeat": 0.5}]), "repeat is not a whole number"),
    (bad(labels=[SAID, {**SAID, "created_at": "yesterday"}]), "created_at"),
    (bad(meta="text"), "meta is not a mapping"),
]


@pytest.mark.parametrize(("line", "reason"), ROWS)
def test_a_bad_row_is_rejected_with_its_line_and_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    last = orjson.dumps({**GOOD, "prompt": "q"})
    (found,) = rejected(tmp_path, line, last)
    assert reason in found["reason"]
    assert (found["file"], found["line"]) == (str(tmp_path / "data.jsonl"), 2)
    assert found["row"]
    with Store.open(tmp_path / "store.db") as store:
        assert store.counts()["comparisons"] == 2
        assert store.counts()["labels"] == 0


SCORE = {"annotator": "ed", "source": "human", "criteria": {"style": 3}, "scale": [1, 5]}
RATED = {"prompt": "", "response": "x", "scores": [SCORE]}
RATINGS = [
    ({"response": None}, "the text is withheld"),
    ({"response": ""}, "response is empty"),
    ({"scores": None}, "scores is not a list"),
    ({"scores": [{**SCORE, "criteria": {"style": float("nan")}}]}, "the rating on style is not a finite number"),
    ({"scores": [{**SCORE, "criteria": {"style": 6}}]}, "the rating 6 on style is outside its scale 1 to 5"),
    ({"scores": [{**SCORE, "criteria": {"style": "good"}}]}, "is not a number"),
    ({"scores": [{**SCORE, "criteria": None}]}, "no criteria"),
    ({"scores": [{**SCORE, "scale": [1]}]}, "no scale"),
    ({"scores": [{**SCORE, "scale": [1, float("inf")]}]}, "scale is not a finite number"),
]


@pytest.mark.parametrize(("fields", "reason"), RATINGS)
def test_a_bad_rating_is_rejected(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    line = json.dumps({**RATED, "response": "y", **fields}).encode()
    last = orjson.dumps({**RATED, "response": "z"})
    (found,) = rejected(tmp_path, line, last, good=orjson.dumps(RATED))
    assert reason in found["reason"]


TRL = [
    ({"chosen": "same", "rejected": "same"}, "identical"),
    ({"chosen": "same", "rejected": None}, "not both texts"),
    ({"chosen": "Human: Hi\nAssistant: Hello", "rejected": "Human: Hi\nAssistant: "}, "response_b is empty"),
    ({"chosen": [{"role": "user", "content": "x"}], "rejected": [{"role": "user", "content": "y"}]}, "one reply"),
]


@pytest.mark.parametrize(("row", "reason"), TRL)
def test_a_bad_preference_is_rejected(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    first = {"chosen": "Hello you", "rejected": "Hello him"}
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps(first) + b"\n" + orjson.dumps(row))
    summary, (found,) = imported(tmp_path / "store.db", path)
    assert summary.added["comparisons"] == 1
    assert reason in found["reason"]


@pytest.mark.parametrize("apart", [False, True])
def test_an_id_with_other_content_is_rejected(tmp_path: Path, new_database: Callable[[], str], apart: bool) -> None:
    database = new_database()
    first, again, other = ({**GOOD, "id": "c1"}, {**GOOD, "id": "c1"}, {**GOOD, "id": "c1", "response_b": "other"})
    files = [[first], [again, other]] if apart else [[first, again, other]]
    path = tmp_path / "data.jsonl"
    for rows in files:
        path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
        summary, found = imported(database, path)
    assert [entry["reason"] for entry in found] == ["the id 'c1' was given before to a comparison with other content"]
    assert found[0]["line"] == (2 if apart else 3)
    assert found[0]["row"]["response_b"] == "other"
    with Store.open(database) as store:
        assert store.counts()["responses"] == 2


def test_a_rejects_file_of_an_earlier_import_does_not_stay(tmp_path: Path) -> None:
    assert rejected(tmp_path, b"{", orjson.dumps({**GOOD, "prompt": "q"}))
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps(GOOD))
    summary, found = imported(tmp_path / "store.db", path)
    assert (summary.rejected, summary.rejects, found) == (0, None, [])


def test_csv_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(
        b"prompt,response_a,response_b,winner\n"
        b'"two\nlines",x,y,a\n'
        b"short,x\n"
        b"caf\xe9,x,y,b\n"
        b'"long, ' + b"x" * 200_000 + b'",x,y,b\n'
        b"p,x,y,left\n"
    )
    summary, found = imported(tmp_path / "store.db", path)
    assert summary.added["comparisons"] == 2
    reasons = [(entry["line"], entry["reason"]) for entry in found]
    assert reasons == [
        (4, "2 cells in a row of 4 columns"),
        (5, "not UTF-8"),
        (7, "unknown winner 'left' (expected a, b, tie or both_bad)"),
    ]


def test_a_json_array_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b"[" + orjson.dumps(GOOD) + b", 7, " + orjson.dumps({**GOOD, "prompt": "q"}) + b', {"prompt')
    summary, found = imported(tmp_path / "store.db", path)
    assert summary.added["comparisons"] == 2
    assert [(entry["line"], entry["reason"][:20]) for entry in found] == [
        (2, "not a JSON object"),
        (4, "not valid JSON from "),
    ]


def test_a_gzip_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl.gz"
    rows = [{**GOOD, "prompt": f"{number * 7919}"} for number in range(5_000)]
    path.write_bytes(gzip.compress(b"\n".join(map(orjson.dumps, rows)))[:-2_000])
    summary, found = imported(tmp_path / "store.db", path)
    assert 0 < summary.added["comparisons"] < 5_000
    assert "damaged from here on" in found[-1]["reason"]


def test_parquet_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    rows = [GOOD, {**GOOD, "response_a": None}, {**GOOD, "prompt": "q"}]
    flat = [{name: row[name] for name in ("prompt", "response_a", "response_b")} for row in rows]
    pq.write_table(pa.Table.from_pylist(flat), path)
    summary, found = imported(tmp_path / "store.db", path)
    assert summary.added["comparisons"] == 2
    assert [(entry["line"], entry["row"]["prompt"]) for entry in found] == [(2, "p")]


def test_text_of_a_parquet_file_that_is_not_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"fine", b"caf\xe9", b"good"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    table = pa.table({"prompt": text, "response_a": ["x"] * 3, "response_b": ["y"] * 3})
    pq.write_table(table, tmp_path / "data.parquet")
    summary, found = imported(tmp_path / "store.db", tmp_path / "data.parquet")
    assert summary.added["comparisons"] == 2
    assert [(entry["line"], entry["reason"]) for entry in found] == [(2, "not UTF-8")]


def exported(record: Any) -> bytes:
    name, _ = encode(record)
    return orjson.dumps({"kind": KINDS[name].name, "record": record.model_dump(mode="json")})


def test_exported_records_that_were_changed_or_lack_their_parents(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    prompt, other = Prompt.of(()), Prompt.of((Message(role="user", content="x"),))
    changed = exported(prompt).replace(b'"messages":[]', b'"messages":[{"role":"user","content":"y"}]')
    orphan = Response.of("no such prompt", "text")
    unknown = orjson.dumps({"kind": "opinion", "record": {}})
    extra = orjson.dumps({"kind": "prompt", "record": {"id": "p", "messages": [], "mood": "good"}})
    ann = Annotator.of("human", "ann")
    astray = Label.of("no such comparison", ann.id, choice="a")
    good = Response.of(prompt.id, "kept")
    lines = [exported(prompt), changed, exported(orphan), unknown, extra, exported(ann), exported(astray)]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join([*lines, exported(good), exported(other)]))
    database = new_database()
    summary, found = imported(database, path)
    assert dict(summary.added) == {"prompts": 2, "annotators": 1, "responses": 1}
    expected = [(2, "was changed"), (3, "names another"), (4, "unknown kind"), (5, "mood"), (7, "names another")]
    assert [entry["line"] for entry in found] == [line for line, _ in expected]
    assert all(reason in entry["reason"] for entry, (_, reason) in zip(found, expected, strict=True))


def test_a_missing_file_stops_before_anything_is_written(tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_bytes(orjson.dumps(GOOD))
    with Store.open(tmp_path / "store.db") as store:
        with pytest.raises(DataError, match="no such file"):
            import_files(
                store, [good, tmp_path / "missing.jsonl"], ImportConfig(files=("-",)), rejects=tmp_path / "rejects"
            )
        assert sum(store.counts().values()) == 0
    assert not (tmp_path / "rejects").exists()


def refusal(folder: Path, name: str, data: bytes, **options: Any) -> str:
    """Return the one error of a file that is not understood."""
    path = folder / name
    path.write_bytes(data)
    with Store.open(folder / "store.db") as store:
        with pytest.raises(DataError) as caught:
            import_files(store, [path], ImportConfig(files=("-",), **options), rejects=folder / "rejects")
        assert sum(store.counts().values()) == 0
    assert not (folder / "rejects").exists()
    assert str(path) in str(caught.value) or options
    return str(caught.value)


def test_unknown_columns_are_told_with_the_nearest_name(tmp_path: Path) -> None:
    row = {"prompt": "p", "respons_a": "x", "respons_b": "y"}
    message = refusal(tmp_path, "data.jsonl", orjson.dumps(row))
    assert "found prompt, respons_a, respons_b" in message
    assert "prompt + response_a + response_b" in message
    assert "--map response_a=respons_a --map response_b=respons_b" in message


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("data.jsonl", b"", "holds no rows"),
        ("data.csv", b"prompt,response_a\n", "holds no rows"),
        ("data.jsonl", b"\xff\xfe\x00\x01\n", "no row can be read: line 1: not UTF-8"),
        ("data.jsonl", b"nothing\n", "no row can be read: line 1: not valid JSON"),
        ("data.parquet", b"PAR1 but not really", "not a readable Parquet file"),
        ("data.arrow", b"ARROW1 but not really", "not a readable Arrow file"),
        ("data.xlsx", b"PK", "type of the file is not known"),
        ("data.json", b"[]", "holds no rows"),
        ("data.json", b"[1, 2", "no row can be read"),
        ("data.json", b" [ ]", "holds no rows"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, name: str, data: bytes, part: str) -> None:
    assert part in refusal(tmp_path, name, data)


def test_a_mapped_column_must_exist_and_the_field_too(tmp_path: Path) -> None:
    message = refusal(tmp_path, "data.jsonl", orjson.dumps({**GOOD, "question": "q"}), map={"prompt": "questoin"})
    assert "no column 'questoin'" in message and "did you mean 'question'" in message
    message = refusal(tmp_path, "data.jsonl", orjson.dumps(GOOD), map={"promt": "prompt"})
    assert "unknown field 'promt'" in message and "did you mean 'prompt'" in message


def test_an_empty_folder_and_a_broken_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    with Store.open(tmp_path / "store.db") as store:
        options = ImportConfig(files=("-",))
        with pytest.raises(DataError, match="holds no data files"):
            import_files(store, [folder], options, rejects=tmp_path / "rejects")
        (folder / "state.json").write_text("{}")
        with pytest.raises(DataError, match="description cannot be read"):
            import_files(store, [folder], options, rejects=tmp_path / "rejects")
        (folder / "state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
        with pytest.raises(DataError, match="names a file that is not there"):
            import_files(store, [folder], options, rejects=tmp_path / "rejects")


def test_a_rejects_file_that_cannot_be_written_stops_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps(GOOD))
    with Store.open(tmp_path / "store.db") as store:
        with pytest.raises(OutputError):
            import_files(store, [path], ImportConfig(files=("-",)), rejects=path / "rejects.jsonl")
        assert sum(store.counts().values()) == 0


def test_the_place_of_the_rejects_destroys_nothing(tmp_path: Path) -> None:
    path, other, odd = tmp_path / "data.jsonl", tmp_path / "notes.txt", tmp_path / "odd.jsonl"
    path.write_bytes(orjson.dumps(GOOD))
    other.write_text("my notes")
    odd.write_bytes(b'{"file": "x", "line": 1}\n')
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for place in (path, tmp_path / "link", tmp_path / "hard", other, odd, tmp_path, tmp_path / "store.db"):
        before = None if place.is_dir() else place.read_bytes() if place.exists() else b""
        with Store.open(tmp_path / "store.db") as store:
            with pytest.raises(OutputError, match="would replace"):
                import_files(store, [path], ImportConfig(files=("-",)), rejects=place)
            assert sum(store.counts().values()) == 0
        assert place.is_dir() or place == tmp_path / "store.db" or place.read_bytes() == before


def test_rejects_given_as_an_input_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps({"file": "f", "line": 1, "reason": "none", "row": {}, **GOOD}))
    before = path.read_bytes()
    with Store.open(tmp_path / "store.db") as store, pytest.raises(OutputError, match="a file that is imported"):
        import_files(store, [path], ImportConfig(files=("-",)), rejects=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("row", [b"{", b'{"prompt": "\\ud800"}', b'{"prompt": ' + b"9" * 400 + b"}"])
def test_rejects_of_every_kind_are_known_again(tmp_path: Path, row: bytes) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps(GOOD) + b"\n" + row)
    for _ in range(2):
        _, found = imported(tmp_path / "store.db", path)
        assert len(found) == 1


def test_a_file_of_which_every_row_is_rejected_is_an_error_after_all_is_written(tmp_path: Path) -> None:
    good, lost, mixed = (tmp_path / name for name in ("good.jsonl", "lost.jsonl", "mixed.jsonl"))
    good.write_bytes(orjson.dumps(GOOD))
    lost.write_bytes(b"\n".join([bad(response_a=""), bad(response_b="x"), bad(response_a="")]))
    mixed.write_bytes(b"\n".join([bad(response_a=""), orjson.dumps({**GOOD, "prompt": "q"})]))
    place = tmp_path / "rejects.jsonl"
    with Store.open(tmp_path / "store.db") as store:
        with pytest.raises(DataError) as caught:
            import_files(store, [lost, good, mixed], ImportConfig(files=("-",)), rejects=place)
        assert store.counts()["comparisons"] == 2
    message = str(caught.value)
    assert "lost.jsonl: every row was rejected (3), most often (2) because: response_a is empty" in message
    assert "more file" not in message and str(place) in message
    assert [json.loads(line)["line"] for line in place.read_text().splitlines()] == [1, 2, 3, 1]


def test_rows_that_only_the_database_refuses_count_as_rejected_too(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(orjson.dumps({**GOOD, "id": "c1"}))
    imported(tmp_path / "store.db", path)
    path.write_bytes(orjson.dumps({**GOOD, "id": "c1", "response_b": "other"}))
    with pytest.raises(DataError, match="the id 'c1' was given before"):
        imported(tmp_path / "store.db", path)
