"""`rewardkit best-of`: with a model whose reward is a response's length."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from rewardkit.scorer import RewardModel


class Lengths:
    calibration = None

    def score(self, prompts, responses):
        from types import SimpleNamespace

        return SimpleNamespace(values=np.array([np.nan if text == "?" else float(len(text)) for text in responses]))


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr(RewardModel, "load", lambda path: Lengths())


@pytest.fixture
def file(tmp_path):
    rows = [
        {"prompt": "p", "responses": ["a", "abc", "", "?"]},
        {"prompt": [{"role": "user", "content": "q"}], "responses": ["ab", "cd"]},
        {"prompt": "r", "responses": []},
        {"prompt": 3, "responses": ["a"]},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\nno row\n")
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_best_of_each_and_why_some_gave_none(rewardkit, file, tmp_path):
    out = tmp_path / "best.jsonl"
    ended = rewardkit("best-of", "model", file, "--out", out, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["rows"], told["prompts"], told["failed"], told["ties"]) == (2, 5, 3, 1)
    assert (told["responses"], told["without_reward"]) == (6, 2)
    # Four responses at most: log 4 − 3/4.
    assert (told["n"], told["kl_upper_bound_nats"]) == (4, 0.6363)
    first, second = lines(out)
    assert first == {"prompt": "p", "completion": "abc", "reward": 3.0, "n": 2}
    assert second["completion"] == [{"role": "assistant", "content": "ab"}]
    failed = lines(tmp_path / "best.jsonl.failed.jsonl")
    assert [row["line"] for row in failed] == [3, 4, 5]
    assert "no responses" in failed[0]["reason"] and "neither text" in failed[1]["reason"]


def test_pairs_as_parquet_and_no_failures_left_over(rewardkit, file, tmp_path):
    out = tmp_path / "pairs.parquet"
    beside = tmp_path / "pairs.parquet.failed.jsonl"
    beside.write_text("of an earlier run")
    file.write_text(lines_of({"prompt": "p", "responses": ["a", "abc"]}))
    ended = rewardkit("best-of", "model", file, "--out", out, "--as", "pairs", "--json")
    assert ended.code == 0, ended.err
    (row,) = pq.read_table(out).to_pylist()
    assert (row["chosen"], row["rejected"], row["reward_chosen"], row["reward_rejected"]) == ("abc", "a", 3.0, 1.0)
    assert not beside.exists() and "kl_upper_bound_nats" not in json.loads(ended.out)


def lines_of(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--as", "dpo"], "--as"),
        (["--as", "pairs", "--keep", 2], "keep is 1"),
        (["--min-gap", 1], "only pairs have a gap"),
    ],
)
def test_options_that_make_no_sense(rewardkit, file, tmp_path, words, what):
    ended = rewardkit("best-of", "model", file, "--out", tmp_path / "out.jsonl", *words)
    assert ended.code == 2 and what in ended.err and "rewardkit best-of --help" in ended.err


def test_nothing_is_written_over_what_is_read(rewardkit, file):
    ended = rewardkit("best-of", "model", file, "--out", file)
    assert ended.code == 2 and "would replace the file" in ended.err
