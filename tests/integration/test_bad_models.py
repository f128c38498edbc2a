"""Models that cannot be used, texts longer than they take, and packages that are not installed."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys

import pytest

from .conftest import check_refusal

MODEL = "w/runs/small/train/model"
HIDING = """
import importlib.machinery, os
hidden = os.environ["HIDDEN"].split(",")
find = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else find(name, path, target)
importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
"""


@pytest.fixture
def job(settings, write, finished):
    return write(settings)


def train_with(**changes):
    return [word for key, value in changes.items() for word in ("--set", f"train.{key}={value}")]


def test_a_model_without_a_pad_token(refused, job, tiny_model):
    folder = tiny_model(sep_token="<|sep|>")
    says = ("no pad token", "<|s|>, <|e|>, <|sep|>", "train.pad_token")
    refused("train", job, *train_with(model=folder), says=says)
    refused("train", job, *train_with(model=folder, pad_token="<sap>"), says=("'<sap>'", "<|sep|>"))


def test_a_pad_token_that_the_user_names(rewardkit, job, tiny_model):
    ended = rewardkit("train", job, *train_with(model=tiny_model(sep_token="<|sep|>"), pad_token="<|sep|>"))
    assert ended.code == 0


@pytest.mark.parametrize("model", ["./nowhere", "w", "gone.gguf", "job.yaml", "one/two/three"])
def test_a_model_that_is_none(refused, job, model):
    refused("train", job, *train_with(model=model), says=model.removeprefix("./"))


def test_a_model_without_weights_or_of_another_kind(refused, job, tiny, here):
    shutil.copytree(tiny, here / "hollow")
    (here / "hollow/model.safetensors").unlink()
    refused("train", job, *train_with(model="hollow"), says="hollow")
    config = json.loads((here / "hollow/config.json").read_text())
    (here / "hollow/config.json").write_text(json.dumps({**config, "model_type": "unheard-of"}))
    refused("train", job, *train_with(model="hollow"), says="hollow")


@pytest.mark.parametrize("damage", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_model_whose_weights_are_damaged(refused, job, tiny_model, here, damage):
    shutil.copytree(tiny_model(context=4096), here / "damaged")
    (here / "damaged/model.safetensors").write_bytes(damage)
    refused("train", job, *train_with(model="damaged"), says="damaged")
    judge = {"backend": "transformers", "model": "damaged", "max_tokens": 4096}
    words = [word for key, value in judge.items() for word in ("--set", f"judge.{key}={value}")]
    refused("judge", job, *words, says="damaged")


def test_a_context_that_is_shorter_than_max_length(refused, job, tiny_model):
    short = tiny_model(context=128)
    refused("train", job, *train_with(model=short), says=("longer than the model's context", "max_length: 128"))


@pytest.mark.parametrize(
    ("policy", "length", "cut", "left_out"),
    [
        ("truncate_prompt", 160, 48, 0),
        ("truncate_prompt", 1000, 0, 0),
        ("truncate_response", 300, 48, 0),
        ("truncate_response", 1000, 0, 0),
        ("drop", 1000, 0, 0),
    ],
)
def test_texts_that_are_too_long_are_counted(rewardkit, job, policy, length, cut, left_out):
    ended = rewardkit("train", job, "--json", *train_with(too_long=policy, max_length=length, max_examples=48))
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["n_train"] == 48 and found["dropped"] == left_out
    assert (found["truncated"] >= cut) if cut else found["truncated"] == 0
    assert f"{found['truncated']} truncated, {left_out} left out" in ended.err


@pytest.mark.parametrize(("policy", "length"), [("drop", 160), ("truncate_response", 60), ("truncate_prompt", 2)])
def test_nothing_is_left_of_texts_that_are_too_long(refused, job, policy, length):
    says = ("no comparison of the split 'train'", "48 were there, 48 left out: ", "train.too_long")
    refused("train", job, *train_with(too_long=policy, max_length=length), says=says)


def test_a_stream_with_rows_that_cannot_be_scored(rewardkit, finished, here):
    rows = [
        b'{"prompt": "Tell a joke.", "response": "No."}',
        b'{"prompt": "Tell a joke.", "response": ""}',
        b'{"prompt": "Tell a joke.", "respons": "No."}',
        b"not json",
        b'{"prompt": "\xff", "response": "No."}',
        b'{"prompt": 3, "response": "No."}',
        b"[]",
    ]
    (here / "rows.jsonl").write_bytes(b"\n".join(rows))
    ended = rewardkit("score", MODEL, "rows.jsonl")
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0 and "6 rows could not be scored" in ended.err
    assert [row["line"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["status"] for row in found] == ["ok"] + 6 * ["failed"] and all(row["reason"] for row in found[1:])


def test_a_stream_of_what_is_too_long_for_a_model_that_drops(rewardkit, refused, job, here):
    assert rewardkit("train", job, *train_with(too_long="drop", max_length=900)).code == 0
    rows = [{"response": "No."}, {"response": "word " * 300}]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ended = rewardkit("score", MODEL, "rows.jsonl")
    first, second = map(json.loads, ended.out.splitlines())
    assert (
        first["status"] == "ok"
        and second["status"] == "failed"
        and "longer than max_length (900 tokens)" in second["reason"]
    )


def test_score_refuses_what_it_cannot_use(refused, finished, here):
    (here / "rows.jsonl").write_text('{"response": "No."}\n')
    (here / "rows.parquet").write_bytes(b"PAR1 no")
    refused("score", "nowhere", "rows.jsonl", says=("nowhere: not a rewardkit reward model", "rewardkit.json"))
    refused("score", MODEL, "gone.jsonl", says=("gone.jsonl: no such file", "- is standard input"))
    refused("score", MODEL, "rows.parquet", says="not a readable Parquet file")
    refused("score", MODEL, ".", says="no such file")
    refused("score", MODEL, "rows.jsonl", "--out", "rows.jsonl/scores", says="cannot be written")
    card = here / MODEL / "rewardkit.json"
    whole = card.read_text()
    card.write_text("{}")
    refused("score", MODEL, "rows.jsonl", says="rewardkit.json cannot be read")
    card.write_text(whole)
    adapters = here / MODEL / "adapter_model.safetensors"
    adapters.write_bytes(adapters.read_bytes()[:1000])
    refused("score", MODEL, "rows.jsonl", says=("adapter_model.safetensors", "cannot be loaded"))
    adapters.unlink()
    refused("score", MODEL, "rows.jsonl", says=("adapter_model.safetensors", "missing"))


def test_standard_input_is_read_as_it_is(rewardkit, finished, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b'{"response": "No."}\n\xff\n'))
    monkeypatch.setattr(sys, "stdin", stream)
    ended = rewardkit("score", MODEL, "-")
    assert [json.loads(line)["status"] for line in ended.out.splitlines()] == ["ok", "failed"]


@pytest.fixture
def without(start, here):
    """Run the real command line on a machine without some packages."""
    (here / "hiding").mkdir()
    (here / "hiding/sitecustomize.py").write_text(HIDING)

    def run(hidden, *words):
        path = os.pathsep.join([str(here / "hiding"), os.environ.get("PYTHONPATH", "")])
        # No bytecode: the folder is compared before and after.
        process = start(*words, PYTHONPATH=path, HIDDEN=",".join(hidden), PYTHONDONTWRITEBYTECODE="1")
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return run


@pytest.mark.parametrize("hidden", [("torch", "transformers", "peft", "accelerate"), ("peft",)])
@pytest.mark.parametrize("verb", ["train", "calibrate", "evaluate", "score"])
def test_an_extra_that_is_not_installed(without, job, files, here, verb, hidden):
    (here / "rows.jsonl").write_text('{"response": "No."}\n')
    words = ("score", MODEL, "rows.jsonl") if verb == "score" else (verb, job, "--set", "seed=4")
    before = files(here)
    code, out, err = without(hidden, *words)
    check_refusal(code, err, (repr(hidden[0]), 'pip install "rewardkit[train]"'))
    assert out == "" and files(here) == before


def test_the_judges_extra_and_the_databases(without, job):
    code, _, err = without(("torch",), "judge", job, "--set", "judge.backend=transformers")
    check_refusal(code, err, ("'torch'", 'pip install "rewardkit[judge]"'))
    code, _, err = without(("psycopg",), "aggregate", job, "--set", "db=postgresql://nobody@localhost/none")
    check_refusal(code, err, ("'psycopg'", 'pip install "rewardkit[postgres]"'))


def test_the_doctor_lists_what_is_missing(without, job):
    code, out, _ = without(("torch", "peft", "gradio"), "doctor", job)
    assert code == 0 and 'pip install "rewardkit[train]"   (lacks torch, peft)' in out


def test_labels_need_no_extra(without, settings, write):
    heavy = ("torch", "transformers", "peft", "accelerate", "tensorboard", "gguf", "gradio", "psycopg")
    labels = {key: value for key, value in settings.items() if key not in ("train", "calibrate", "evaluate")}
    code, _, err = without(heavy, "run", write(labels))
    assert code == 0 and "[4/4] aggregate" in err, err


def test_every_refusal_is_the_same_as_a_process_of_its_own(start, here):
    process = start("train", "gone.yaml")
    out, err = process.communicate(timeout=60)
    check_refusal(process.returncode, err, "gone.yaml: the config file does not exist")
    assert out == "" and err.count("\n") == 2
