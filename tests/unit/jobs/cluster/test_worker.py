"""A judge on a cluster, here in this process: what it gives back, however a shard ends."""

from __future__ import annotations

import runpy
import threading
from pathlib import Path

import pytest

from rewardkit.jobs.cluster import worker
from rewardkit.jobs.cluster.ledger import Bounds, Ledger
from rewardkit.jobs.cluster.worker import Orders, ShardJudge, ShardWork
from rewardkit.judge.judges import open_judges
from rewardkit.judge.shards import cut_pairs
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store

server = runpy.run_path(str(Path(__file__).parents[3] / "judging.py"))["server"]


@pytest.fixture
def work(tmp_path, add_comparisons):
    with Store.open(tmp_path / "rewardkit.db") as store:
        add_comparisons(store, 20)
        (shard,) = cut_pairs(((texts, []) for texts in store.comparisons()), tmp_path / "asked", 20)
    return ShardWork("labels", shard, tmp_path / "shards" / "who" / "said" / "run-000000.parquet", 20)


@pytest.fixture
def judging(tmp_path, monkeypatch):
    """Return a ledger, and a judge that calls it, as on a cluster, one call after the other."""

    def build(config, most):
        ledger = Ledger(Bounds(most, 0.0, (), 0.2, tmp_path / "shards", tmp_path / "answers.db"))
        lock = threading.Lock()

        def call(method, *arguments):
            with lock:
                return getattr(ledger, method)(*arguments)

        monkeypatch.setattr(worker, "caller", lambda _: call)
        opened = open_judges(config, examples=[])
        judge = ShardJudge("one", Orders(config.model_dump_json(), [], [opened.pairs.annotator.id], None, tmp_path))
        monkeypatch.chdir(tmp_path)
        assert judge.open() is None
        return ledger, judge

    return build


def test_a_judge_that_is_stopped_leaves_nothing_set_aside(judging, work, server, monkeypatch):
    server.reset()
    server.delay = 0.1
    url = {"url": server.url, "key_variable": None, "price_in": 100.0, "price_out": 0.0, "concurrency": 8}
    ledger, judge = judging(JudgeConfig(backend="openai", model="m", server=url), most=50.0)
    monkeypatch.setattr(worker, "REPORTED_EVERY", 0.0)
    ledger.stop()
    assert judge.judge(work) is None
    assert work.to.exists()
    # What was under way may be billed, is spent, and is set aside no more.
    assert 0 < ledger.state().spent < 50.0
    assert ledger.reserve("two", 50.0 - ledger.state().spent)
