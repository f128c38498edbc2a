"""Several processes: training launched by torchrun is that of one process with their batches together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow
TRAIN = "w/runs/small/train"
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"]
UNEVEN = """
import os
from rewardkit.reward_model import backbone, training

rank = os.environ["RANK"]
backbone.CPU_TOKENS = 2048 if rank == "0" else 96
shard, agree, counts, held = training.shard, training.in_step, [], []

def sharded(network):
    shard(network)
    base = list(network.classifier.base_model.parameters())
    parts = [each for each in base if hasattr(each, "to_local")]
    held.append(sum(each.to_local().numel() for each in parts) / sum(each.numel() for each in parts))

def agreed(own):
    found = agree(own)
    counts.append(found != own)
    return found

training.shard, training.in_step = sharded, agreed
from rewardkit.cli import app

app(standalone_mode=False)
print(f"process {rank}: waited {sum(counts)} times, holds {held[0]:.3f}", flush=True)
"""


@pytest.fixture
def launch(here):
    """Run a verb in two processes on loopback."""

    def call(*words):
        own = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
        program = [] if str(words[0]).endswith(".py") else ["-m", "rewardkit"]
        command = [*LAUNCH, *where, *program, *map(str, words)]
        return subprocess.run(command, cwd=here, env=own, capture_output=True, text=True, timeout=300)

    return call


def outcome(here):
    history = json.loads((here / TRAIN / "history.json").read_text())
    return history, {
        str(file.relative_to(here)): load_file(file) for file in sorted((here / TRAIN / "model").rglob("*.safetensors"))
    }


def assert_same(found, expected):
    (again, others), (history, weights) = found, expected
    assert [sorted(row) for row in again] == [sorted(row) for row in history]
    for ours, theirs in zip(again, history, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert weights.keys() == others.keys()
    for name, tensors in weights.items():
        for key, tensor in tensors.items():
            np.testing.assert_allclose(others[name][key], tensor, atol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"members": 2, "train_layers": 1},
        {"sharded": True, "lora": {"r": 4, "variant": "dora"}, "gradient_accumulation": 2},
        {"sharded": True, "members": 2},
    ],
)
def test_two_processes_learn_what_one_does_with_their_batches_together(
    launch, rewardkit, settings, write, finished, here, fields
):
    """32 comparisons: no process ends with a batch of another size."""
    settings["train"] |= {"max_examples": 32, "batch_size": 8, **fields}
    assert rewardkit("train", write(settings)).code == 0
    (history, weights) = outcome(here)
    settings["train"] |= {"batch_size": 4}
    ended = launch("train", write(settings))
    assert ended.returncode == 0, ended.stderr
    # One of them tells what happened, and writes.
    assert ended.stderr.count("train: done in") == 1 and ended.stdout.count("best_step") == 1
    assert_same(outcome(here), (history, weights))


def test_what_is_the_work_of_one_process_is_refused(launch, settings, write, finished):
    ended = launch("calibrate", write(settings))
    assert ended.returncode != 0 and "several processes were launched" in ended.stderr
    ended = launch("run", write(settings))
    assert ended.returncode != 0 and "launch `rewardkit train CONFIG`" in ended.stderr


def test_processes_with_parts_keep_step_where_one_has_more_to_run(launch, rewardkit, settings, write, finished, here):
    """With fewer tokens a pass in one process, it has more groups than the other, and more passes for a group."""
    script = here / "uneven.py"
    script.write_text(UNEVEN)
    settings["train"] |= {"max_examples": 32, "batch_size": 8}
    assert rewardkit("train", write(settings)).code == 0
    alone = outcome(here)
    settings["train"] |= {"batch_size": 4, "sharded": True, "checkpointing": True}
    ended = launch(script, "train", write(settings))
    assert ended.returncode == 0, ended.stderr
    # One process waits for the other in each of the steps and validations, and each holds a half of the base.
    first, second = sorted(re.findall(r"process (\d): waited (\d+) times, holds (0\.\d+)", ended.stdout))
    assert (int(first[1]) >= 8, second[1]) == (True, "0")
    assert 0.5 <= float(first[2]) <= 0.55 and 0.45 <= float(second[2]) <= 0.5
    assert_same(outcome(here), alone)


def test_what_fsdp_of_accelerate_means_is_parts(launch, rewardkit, settings, write, finished, here, monkeypatch):
    """Its launcher says so by a variable; on CPUs it starts no two processes itself."""
    settings["train"] |= {"max_examples": 16, "batch_size": 8}
    assert rewardkit("train", write(settings)).code == 0
    alone = outcome(here)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    settings["train"] |= {"batch_size": 4}
    ended = launch("train", write(settings))
    assert ended.returncode == 0, ended.stderr
    assert "in parts" in ended.stderr
    assert_same(outcome(here), alone)


@pytest.mark.parametrize(("fields", "why"), [({"train_layers": 1}, "frozen layers"), ({"dtype": "nf4"}, "four bits")])
def test_what_cannot_be_in_parts_is_refused(rewardkit, settings, write, finished, fields, why):
    settings["train"] |= {"sharded": True, **fields}
    ended = rewardkit("train", write(settings))
    assert ended.code == 2 and why in ended.err and "train.sharded" in ended.err
