"""What counts towards a judge's budget, wherever it was paid."""

from __future__ import annotations

import json

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import JobFailed
from rewardkit.jobs.cluster.unrecorded import FILE, SHARDS, folder_of
from rewardkit.jobs.pipeline import run_one
from rewardkit.jobs.stages import Job
from rewardkit.judge.judges import open_judges
from rewardkit.store.store import Store


def test_what_was_paid_on_a_cluster_without_a_label_counts_here(tmp_path, add_comparisons):
    server = {"url": "http://127.0.0.1:9/v1", "key_variable": None, "price_in": 1.0, "price_out": 1.0}
    judge = {"backend": "openai", "model": "m", "server": server, "max_cost": 0.5}
    config = JobConfig.model_validate({"workspace": str(tmp_path), "judge": judge})
    with Store.open(config.database) as store:
        add_comparisons(store, 3)
    shards = Job(config).folder("judge").path / SHARDS
    shards.mkdir(parents=True)
    annotator = open_judges(config.judge).pairs.annotator
    (shards / FILE).write_text(json.dumps({folder_of(annotator.id): 0.5, folder_of("0" * 32): 7.0}))
    with pytest.raises(JobFailed, match=r"the budget is used up: 0\.5000 of 0\.5000 are spent"):
        run_one("judge", config)
