"""Several processes: training launched by torchrun is that of one process with their batches together."""

from __future__ import annotations

import json
import os
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
        command = [*LAUNCH, *where, "-m", "rewardkit", *map(str, words)]
        return subprocess.run(command, cwd=here, env=own, capture_output=True, text=True, timeout=300)

    return call


def outcome(here):
    history = json.loads((here / TRAIN / "history.json").read_text())
    return history, {
        str(file.relative_to(here)): load_file(file) for file in sorted((here / TRAIN / "model").rglob("*.safetensors"))
    }


@pytest.mark.parametrize("fields", [{}, {"members": 2, "train_layers": 1}])
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
    again, others = outcome(here)
    assert [sorted(row) for row in again] == [sorted(row) for row in history]
    for ours, theirs in zip(again, history, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert weights.keys() == others.keys()
    for name, tensors in weights.items():
        for key, tensor in tensors.items():
            np.testing.assert_allclose(others[name][key], tensor, atol=1e-4)


def test_what_is_the_work_of_one_process_is_refused(launch, settings, write, finished):
    ended = launch("calibrate", write(settings))
    assert ended.returncode != 0 and "several processes were launched" in ended.stderr
    ended = launch("run", write(settings))
    assert ended.returncode != 0 and "launch `rewardkit train CONFIG`" in ended.stderr
