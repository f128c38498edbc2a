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
    "fields", [{}, {"members": 2, "train_layers": 1}, {"sharded": True}, {"sharded": True, "members": 2}]
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


def test_processes_with_parts_of_a_base_keep_step_where_one_has_more_to_run(launch, settings, write, finished, here):
    """With few tokens a pass, the texts of a step are passes of their own, and not as many in both processes."""
    script = here / "few_tokens.py"
    script.write_text(
        "from rewardkit.reward_model import backbone\nbackbone.CPU_TOKENS = 96\n"
        "from rewardkit.reward_model import sharding\nagree, uneven = sharding.in_step, []\n"
        "def told(counts):\n    found = agree(counts)\n    uneven.append(found != counts)\n    return found\n"
        "from rewardkit.reward_model import training\ntraining.in_step = told\n"
        "from rewardkit.cli import app\napp(standalone_mode=False)\nprint('uneven steps:', sum(uneven))\n"
    )
    settings["train"] |= {"max_examples": 32, "batch_size": 8, "checkpointing": True}
    path = write(settings)
    alone = subprocess.run(
        [sys.executable, script, "train", path], cwd=here, capture_output=True, text=True, timeout=300
    )
    assert alone.returncode == 0, alone.stderr
    (history, weights) = outcome(here)
    settings["train"] |= {"batch_size": 4, "sharded": True}
    ended = launch(script, "train", write(settings))
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"uneven steps: [1-9]", ended.stdout)
    assert_same(outcome(here), (history, weights))


def test_what_fsdp_of_the_launcher_means_is_parts(launch, settings, write, finished, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    settings["train"] |= {"max_examples": 16, "batch_size": 4}
    ended = launch("train", write(settings))
    assert ended.returncode == 0, ended.stderr
    assert "in parts" in ended.stderr


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"train_layers": 1}, "frozen layers"), ({"dtype": "nf4"}, "four bits"), ({"model": "minilm"}, "elsewhere")],
)
def test_what_cannot_be_in_parts_is_refused(rewardkit, settings, write, finished, fields, why):
    settings["train"] |= {"sharded": True, **fields}
    ended = rewardkit("train", write(settings))
    assert ended.code == 2 and why in ended.stderr and "train.sharded" in ended.stderr
