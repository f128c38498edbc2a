"""What an interrupted run leaves, and that the same command ends where an uninterrupted one would have."""

from __future__ import annotations

import json
import shutil
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from rewardkit.store.store import Store

pytestmark = pytest.mark.slow
TRAIN = "w/runs/small/train"


@pytest.fixture
def fragile(settings, third_party):
    """Training with a loss that can be told to end the process; twelve steps, a checkpoint every three."""
    settings["train"]["loss"] = "fragile"
    return settings


@pytest.fixture
def uninterrupted(rewardkit, fragile, write, finished, here):
    """History and weights of a run that nothing interrupts."""
    assert rewardkit("train", write(fragile)).code == 0
    kept = history(here), weights(here)
    shutil.rmtree(here / TRAIN)
    return kept


def history(here):
    return json.loads((here / TRAIN / "history.json").read_text())


def weights(here):
    return load_file(here / TRAIN / "model/adapter_model.safetensors")


def check_same(here, uninterrupted):
    before, tensors = uninterrupted
    after = history(here)
    assert [sorted(row) for row in after] == [sorted(row) for row in before]
    assert [row["step"] for row in after] == [row["step"] for row in before]
    for ours, theirs in zip(after, before, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    again = weights(here)
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(again[name], tensor, atol=1e-6)
    assert not (here / TRAIN / "partial").exists()


def test_killed_in_mid_training_it_resumes_and_ends_the_same(rewardkit, fragile, write, start, here, uninterrupted):
    job = write(fragile)
    process = start("train", job, FRAGILE_AT="8", FRAGILE_SIGNAL="SIGKILL")
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err
    assert sorted(p.name for p in (here / TRAIN / "partial").glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-6"]
    assert not (here / TRAIN / "manifest.json").exists() and not (here / TRAIN / "model").exists()
    assert "run (interrupted)" in rewardkit("train", job, "--dry-run").out
    # Checkpoints that were being written when the process ended.
    torn = here / TRAIN / "partial/checkpoint-9"
    shutil.copytree(here / TRAIN / "partial/checkpoint-6", torn)
    (torn / "trainer_state.json").write_text('{"epoch": 1.')
    shutil.copytree(here / TRAIN / "partial/checkpoint-3", here / TRAIN / "partial/checkpoint-12")
    (here / TRAIN / "partial/checkpoint-12/trainer_state.json").unlink()
    ended = rewardkit("train", job)
    assert ended.code == 0 and "resuming from checkpoint-6" in ended.err
    check_same(here, uninterrupted)


def test_interrupted_in_mid_training_it_saves_leaves_with_130_and_resumes(
    rewardkit, fragile, write, start, here, uninterrupted
):
    job = write(fragile)
    process = start("run", job, FRAGILE_AT="8", FRAGILE_SIGNAL="SIGINT")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and out == ""
    assert "train: stopping after this step; run the same command to resume" in err
    assert err.rstrip().endswith("interrupted; the same command resumes") and "Traceback" not in err
    assert (here / TRAIN / "partial/checkpoint-8/trainer_state.json").is_file()
    ended = rewardkit("train", job)
    assert ended.code == 0 and "resuming from checkpoint-8" in ended.err
    check_same(here, uninterrupted)


def test_what_another_config_left_half_done_is_not_resumed_from(rewardkit, fragile, write, start, here, finished):
    process = start("train", write(fragile), FRAGILE_AT="5", FRAGILE_SIGNAL="SIGKILL")
    process.communicate(timeout=120)
    assert (here / TRAIN / "partial/checkpoint-3").is_dir()
    fragile["train"]["learning_rate"] = 0.01
    ended = rewardkit("train", write(fragile))
    assert ended.code == 0 and "resuming" not in ended.err


@pytest.fixture
def slow(settings, third_party):
    settings["judge"]["backend"] = "slow"
    return settings


def judged(path):
    """Return the judges' labels by id, all of them as they were written."""
    with Store.open(path, create=False) as store:
        judges = {key for key, annotator in store.annotators().items() if annotator.kind == "judge"}
        return {label.id: label for label in store.labels() if label.annotator_id in judges}


def test_killed_in_mid_judging_it_loses_nothing_and_completes(rewardkit, slow, write, start, here):
    job = write(slow)
    database = here / "w/rewardkit.db"
    for verb in ("import", "simulate"):
        assert rewardkit(*_words(verb, slow, job)).code == 0
    shutil.copytree(here / "w", here / "whole")
    assert rewardkit("judge", job, "--set", "workspace=whole").code == 0
    process = start("judge", job, SLOW_SECONDS="0.3")
    kept = _wait_for_labels(database, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    survived = judged(database)
    whole = judged(here / "whole/rewardkit.db")
    # Whatever was seen as committed is there, as it was.
    assert kept.items() <= survived.items() and survived.keys() < whole.keys()
    ended = rewardkit("judge", job)
    assert ended.code == 0 and f"{len(survived)} labels are there already" in ended.err
    final = judged(database)
    assert final.keys() == whole.keys() and survived.items() <= final.items()
    assert len(final) == 144


def _words(verb, settings, job):
    if verb == "import":
        return "import", settings["import"]["files"][0], "--to", "w/rewardkit.db", "--source", "sample"
    return verb, job


def _wait_for_labels(database, process):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        kept = judged(database)
        if kept:
            return kept
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("no label was committed in a minute")
