"""What is refused before a model is replaced, or used on what it was trained on."""

from __future__ import annotations

import math

import pytest

from rewardkit.config import JobConfig, TrainConfig
from rewardkit.errors import JobFailed, UserError
from rewardkit.jobs.learning import refuse_divergence, require_same
from rewardkit.jobs.stages import Job, Stage, run_stage

FINE = [{"step": 1, "loss": 0.7}, {"step": 2, "validation_loss": 0.6}]


@pytest.mark.parametrize("bad", [{"step": 7, "loss": math.nan}, {"step": 7, "validation_loss": math.inf}])
def test_a_loss_that_is_no_number_is_a_failure(bad):
    refuse_divergence(FINE, TrainConfig())
    with pytest.raises(JobFailed, match="no number at step 7") as caught:
        refuse_divergence([*FINE, bad, {"step": 8, "loss": 0.1}], TrainConfig(learning_rate=0.5))
    assert "train.learning_rate, which is 0.5" in str(caught.value)


def test_a_result_of_something_else_is_refused(tmp_path):
    job = Job(JobConfig.model_validate({"workspace": tmp_path, "train": {}}))
    with pytest.raises(UserError, match="'train' has read another data"):
        require_same(job, "train", {"data": "1"})
    read = {"data": "1", "more": "2"}
    run_stage(Stage("train", "train", ("errors",), lambda _: read, lambda *_: {}, lambda _: "one"), job)
    require_same(job, "train", {"data": "1"})
    with pytest.raises(UserError, match="another more") as caught:
        require_same(job, "train", {"data": "1", "more": "3"})
    assert "rewardkit train CONFIG" in str(caught.value)
