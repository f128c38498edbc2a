"""Rows in, rows out: with a tiny random model, so that numbers mean nothing and equalities everything."""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewardkit.calibration.calibrators import Calibration
from rewardkit.config import TrainConfig
from rewardkit.errors import DataError, ModelError, OutputError
from rewardkit.jobs import scoring_files
from rewardkit.jobs.scoring import score, score_into
from rewardkit.jobs.scoring_files import as_line, read_chunks, write_scores
from rewardkit.reward_model import folder
from rewardkit.reward_model.scoring import reward
from rewardkit.types import Message

ASK = (Message(role="user", content="Tell a joke."),)


@pytest.fixture(scope="session")
def model_path(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("reward")
    config = TrainConfig(model=str(tiny_model()), max_length=120, too_long="drop")
    folder.save(folder.create(config, seed=2), path)
    return path


@pytest.fixture
def calibrated(model_path, tmp_path):
    import shutil

    path = tmp_path / "calibrated"
    shutil.copytree(model_path, path)
    Calibration(
        method="temperature",
        params={"temperature": 0.5},
        n=9,
        n_units=9,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        comparisons_digest="x",
    ).save(path)
    return path


@pytest.fixture
def rows(tmp_path):
    def write(*items):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b"\n".join(i if isinstance(i, bytes) else json.dumps(i).encode() for i in items))
        return str(path)

    return write


def expected(model_path, *responses, prompt=ASK):
    return reward(folder.load(model_path), [(prompt, text) for text in responses]).values.tolist()


def test_each_kind_of_row_gets_its_numbers(calibrated, rows):
    file = rows(
        {"id": "x", "prompt": "Tell a joke.", "response": "No."},
        {"prompt": "Tell a joke.", "response_a": "No.", "response_b": "Yes.", "note": 3},
        {"prompt": "Tell a joke.", "responses": ["No.", "Yes.", "Why?"]},
    )
    no, yes, why = expected(calibrated, "No.", "Yes.", "Why?")
    one, two, three = score(calibrated, file)
    assert one == {"id": "x", "line": 1, "status": "ok", "truncated": False, "reward": pytest.approx(no, abs=1e-6)}
    assert (two["note"], two["line"], two["reward_a"], two["reward_b"]) == (
        3,
        2,
        pytest.approx(no, abs=1e-6),
        pytest.approx(yes, abs=1e-6),
    )
    # The temperature is 0.5: p_a = sigmoid(2 · margin).
    assert two["margin"] == two["reward_a"] - two["reward_b"]
    assert two["p_a"] == pytest.approx(1 / (1 + np.exp(-2 * two["margin"])))
    assert three["rewards"] == pytest.approx([no, yes, why], abs=1e-6)
    assert not {"prompt", "response", "response_a", "responses"} & {key for row in (one, two, three) for key in row}


def test_swapping_the_responses_turns_the_margin_round(calibrated, rows):
    pair = {"prompt": "Tell a joke.", "response_a": "No.", "response_b": "Yes."}
    one, other = score(calibrated, rows(pair, {**pair, "response_a": "Yes.", "response_b": "No."}))
    assert other["margin"] == pytest.approx(-one["margin"], abs=1e-7)
    assert other["p_a"] == pytest.approx(1 - one["p_a"], abs=1e-7)


def test_a_model_that_was_never_calibrated_gives_no_probability(model_path, rows):
    (row,) = score(model_path, rows({"response_a": "No.", "response_b": "Yes."}))
    assert row["p_a"] is None and row["margin"] != 0


def test_a_prompt_is_text_messages_or_nothing(model_path, rows):
    chat = [{"role": "system", "content": "Be funny."}, {"role": "user", "content": "Tell a joke."}]
    texts = [{"prompt": p, "response": "No."} for p in ("Tell a joke.", chat[1:], chat, "", None)] + [
        {"response": "No."}
    ]
    found = [row["reward"] for row in score(model_path, rows(*texts))]
    assert found[0] == pytest.approx(found[1], abs=1e-6) and found[2] != pytest.approx(found[0], abs=1e-9)
    assert found[3] == pytest.approx(found[4], abs=1e-6) == pytest.approx(found[5], abs=1e-6)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "x", "respons": "y"}, "no response; expected prompt with response"),
        ({}, "found nothing"),
        ({"response": ""}, "empty"),
        ({"response": " \n"}, "empty"),
        ({"response": 3}, "empty or no text"),
        ({"response_a": "x", "response_b": None}, "empty or no text"),
        ({"responses": []}, "no response"),
        ({"responses": ["x", ""]}, "empty"),
        ({"prompt": 3, "response": "x"}, "neither text nor a list of messages"),
        ({"prompt": [{"role": "poet", "content": "x"}], "response": "x"}, "neither text nor a list of messages"),
        ({"response": "word " * 99}, "longer than max_length (120 tokens)"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8 (byte 0)"),
        (b'{"response": "\\ud800"}', "half of a surrogate pair"),
        (b'{"response": "x", "id": "\\ud800"}', "half of a surrogate pair"),
        (b'{"response": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b"[" * 100000, "not JSON that can be read"),
    ],
)
def test_a_bad_row_comes_back_with_its_reason_between_good_ones(model_path, rows, row, reason):
    good = {"response": "No."}
    first, bad, last = score(model_path, rows(good, row, good))
    assert (first["status"], last["status"], last["line"]) == ("ok", "ok", 3)
    assert bad["status"] == "failed" and bad["line"] == 2 and reason in bad["reason"] and "reward" not in bad


def test_blank_lines_are_passed_over_and_counted(rows):
    assert list(read_chunks(rows({"a": 1}, b"  ", {"b": 2}))) == [[(1, {"a": 1}), (3, {"b": 2})]]


def test_parquet_gives_the_same_as_json_lines(model_path, rows, tmp_path):
    table = [{"prompt": "Tell a joke.", "response": text, "n": n} for n, text in enumerate(["No.", "Yes.", ""])]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "rows.parquet")
    ours, theirs = list(score(model_path, str(tmp_path / "rows.parquet"))), list(score(model_path, rows(*table)))
    assert ours == theirs and [row["status"] for row in ours] == ["ok", "ok", "failed"]


MIXED = [
    {"response": "No."},
    {"response_a": "No.", "response_b": "Yes."},
    {"responses": ["No.", "Yes.", "Why?"]},
    {"response": "No.", "response_a": "Yes.", "response_b": None},
    {"prompt": "Tell a joke."},
]
COLUMNS = ("prompt", "response", "response_a", "response_b", "responses")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_columns_without_a_value_are_as_good_as_absent(calibrated, rows, tmp_path, kind):
    filled = [{name: row.get(name) for name in COLUMNS} for row in MIXED]
    pq.write_table(pa.Table.from_pylist(filled), tmp_path / "rows.parquet")
    file = rows(*filled) if kind == "jsonl" else str(tmp_path / "rows.parquet")
    one, pair, many, half, none = score(calibrated, file)
    no, yes, why = expected(calibrated, "No.", "Yes.", "Why?", prompt=())
    assert one["reward"] == pytest.approx(no, abs=1e-6) and "margin" not in one
    assert pair["margin"] == pytest.approx(no - yes, abs=1e-6) and pair["p_a"] is not None and "reward" not in pair
    assert many["rewards"] == pytest.approx([no, yes, why], abs=1e-6) and "reward" not in many
    # Half a pair beside another response: nobody knows which was meant.
    assert (half["status"], half["reason"]) == ("failed", "a response is empty or no text")
    assert none["status"] == "failed" and none["reason"].endswith("found prompt")


def test_standard_input_is_json_lines(model_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"response": "N\xc3\xb6."}\n{"response": "No."}')))
    assert [row["line"] for row in score(model_path, "-")] == [1, 2]


def test_files_are_read_some_rows_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(scoring_files, "ROWS_AT_A_TIME", 2)
    chunks = read_chunks(rows(*({"n": n} for n in range(5))))
    assert [[number for number, _ in chunk] for chunk in chunks] == [[1, 2], [3, 4], [5]]


def test_a_stream_is_answered_as_it_comes(model_path, monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as sender:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        sender.write(b'{"response": "One."}\n')
        answers = score(model_path, "-")
        # The sender has not said that this was all: an answer that waited for more would never come.
        assert next(answers)["line"] == 1
        sender.write(b'\n{"response": "Two."}\n{"respon')
        assert next(answers)["line"] == 3
        sender.write(b'se": "Three."}\n{"response": "Four."}')
        assert next(answers)["line"] == 4
        sender.close()
        assert [(row["line"], row["status"]) for row in answers] == [(5, "ok")]


def test_nothing_in_nothing_out(model_path, rows):
    assert list(score(model_path, rows())) == []


def test_what_cannot_be_read_is_refused(model_path, rows, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        next(score(model_path, str(tmp_path / "gone.jsonl")))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        next(score(model_path, str(tmp_path / "bad.parquet")))
    with pytest.raises(ModelError, match="not a rewardkit reward model"):
        next(score(tmp_path, rows({"response": "No."})))


def test_a_damaged_page_is_a_data_error(model_path, tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"response": [f"No {n}." for n in range(3000)]}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    # Zeros in the middle of the compressed page: the footer still says that all is well.
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a readable Parquet file") as caught:
        list(score(model_path, str(path)))
    assert str(path) in str(caught.value) and caught.value.fix


def texts_of(*values):
    """Return a column of texts that are any bytes, as other programs write them."""
    kept = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), kept.buffers())


def test_a_parquet_row_that_is_no_text_or_no_date_fails_alone(model_path, tmp_path):
    days = pa.array([0, 0, 2**60, 0], pa.date64())
    table = pa.table({"response": texts_of(b"No.", b"\xff\xfe", b"Yes.", "Nö.".encode()), "day": days})
    pq.write_table(table, tmp_path / "rows.parquet")
    first, text, day, last = score(model_path, str(tmp_path / "rows.parquet"))
    assert [row["status"] for row in (first, text, day, last)] == ["ok", "failed", "failed", "ok"]
    assert (text["line"], text["reason"]) == (2, "not UTF-8")
    assert day["line"] == 3 and "a value cannot be read" in day["reason"]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "locked/rows.jsonl", "locked/rows.parquet"])
def test_a_file_that_may_not_be_read_is_a_data_error(open_folder, as_user, name):
    path = open_folder / name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"response": ["No."]}), path)
    (path if path.parent == open_folder else path.parent).chmod(0)
    with as_user(), pytest.raises(DataError) as caught:
        next(read_chunks(str(path)))
    assert str(caught.value) == f"{path}: the file cannot be read (Permission denied)\n  fix: check who may read it"


ANSWERS = [{"line": 1, "status": "ok", "reward": 1.5}, {"line": 2, "status": "failed", "reason": "empty ü"}]


def test_scores_are_written_whole_as_lines_or_parquet(tmp_path):
    found = write_scores(ANSWERS, tmp_path / "s.jsonl")
    assert found == {"file": str(tmp_path / "s.jsonl"), "ok": 1, "failed": 1}
    lines = (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ANSWERS and "ü" in lines[1]
    write_scores(ANSWERS, tmp_path / "s.parquet")
    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == [
        {"line": 1, "status": "ok", "reward": 1.5, "reason": None},
        {"line": 2, "status": "failed", "reward": None, "reason": "empty ü"},
    ]


@pytest.mark.parametrize("name", ["s.jsonl", "s.parquet"])
def test_scores_that_stop_half_way_leave_no_file(tmp_path, name):
    def broken():
        yield ANSWERS[0]
        raise DataError("the input ended")

    with pytest.raises(DataError):
        write_scores(broken(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_scores(ANSWERS, tmp_path / "file/s.jsonl")


def test_a_file_is_scored_into_another(model_path, rows, tmp_path):
    file = rows({"response": "No."}, {"response": ""})
    # A file in whose place scores stood before is replaced, whatever it is called.
    (tmp_path / "out.jsonl").write_text("earlier")
    found = score_into(model_path, file, tmp_path / "out.jsonl")
    assert found == {"file": str(tmp_path / "out.jsonl"), "ok": 1, "failed": 1}
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["ok", "failed"]


@pytest.mark.parametrize("name", ["rows.jsonl", "symbolic", "hard", "deep/../rows.jsonl"])
def test_scores_never_replace_what_is_scored(model_path, rows, tmp_path, name):
    file = rows({"response": "No."})
    before = (tmp_path / "rows.jsonl").read_bytes()
    (tmp_path / "deep").mkdir()
    (tmp_path / "symbolic").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    with pytest.raises(OutputError, match="replace the file that is scored") as caught:
        score_into(model_path, file, tmp_path / name)
    assert "--out" in caught.value.fix and caught.value.where == str(tmp_path / name)
    assert (tmp_path / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["rewardkit.json", "new.jsonl", "deep/new.jsonl"])
def test_scores_never_go_into_the_models_folder(calibrated, rows, tmp_path, name):
    file = rows({"response": "No."})
    before = {path: path.read_bytes() for path in calibrated.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(calibrated)
    for place in (calibrated / name, tmp_path / "link" / name):
        with pytest.raises(OutputError, match="model's own folder"):
            score_into(calibrated, file, place)
    assert {path: path.read_bytes() for path in calibrated.rglob("*") if path.is_file()} == before


def test_a_folder_is_no_place_for_scores_and_is_refused_before_the_model_is_loaded(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        score_into(tmp_path / "no model", str(tmp_path / "no file"), tmp_path / "folder")


def test_times_of_a_parquet_file_are_written_as_text(model_path, tmp_path):
    table = pa.table({"response": ["No."], "at": [datetime(2026, 1, 2, tzinfo=UTC)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    (row,) = score(model_path, str(tmp_path / "rows.parquet"))
    assert json.loads(as_line(row))["at"] == "2026-01-02 00:00:00+00:00"
    assert write_scores([row], tmp_path / "s.jsonl")["ok"] == 1


@pytest.mark.parametrize("values", [(1, "one"), (1, [1]), ({"a": 1}, "x"), ({}, {}), (2**70, 1)])
def test_columns_that_parquet_cannot_hold_are_refused(tmp_path, values):
    found = [{"line": n, "status": "ok", "note": value} for n, value in enumerate(values)]
    with pytest.raises(DataError, match="cannot be written as Parquet") as caught:
        write_scores(found, tmp_path / "s.parquet")
    assert "--out NAME.jsonl" in str(caught.value) and list(tmp_path.iterdir()) == []
    assert write_scores(found, tmp_path / "s.jsonl")["ok"] == 2
