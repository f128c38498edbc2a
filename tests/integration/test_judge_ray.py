"""The judge on a Ray cluster of two nodes on loopback: the labels are those of one machine, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from rewardkit.config import JobConfig
from rewardkit.jobs import pipeline
from rewardkit.jobs.cluster import pool as module
from rewardkit.jobs.cluster.pool import Pool
from rewardkit.jobs.cluster.worker import ShardWork
from rewardkit.judge.cache import FILE, AnswerCache, payer
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store

from .conftest import THIRD_PARTY

pytestmark = [
    pytest.mark.slow,
    # Ray announces a change of its own, and closes files of processes late.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"),
]
# All of 127/8 is loopback; 127.0.0.1 itself Ray takes for a name of this machine and asks for another.
LOOPBACK = "127.0.0.2"
SMALL = 80 * 1024**2
QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
NODE = {"num_cpus": 1, "object_store_memory": SMALL, "node_ip_address": LOOPBACK, "include_dashboard": False}
MEASURED = {"created_at", "seconds"}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one processor each."""
    pytest.importorskip("ray", reason='needs the extra ray: pip install "rewardkit[ray]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(THIRD_PARTY), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("SLOW_SECONDS", "0.2")
        from ray.cluster_utils import Cluster

        made = Cluster(True, head_node_args={**NODE, "_system_config": QUICK})
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def node(cluster):
    """The node beside the head; a new one where a test has ended it."""
    return next(iter(cluster.worker_nodes), None) or cluster.add_node(**NODE)


@pytest.fixture(scope="module")
def prepared(pipeline_settings, tmp_path_factory):
    """A config, and a folder with two workspaces: comparisons wait in the one; the other is judged, here alone."""
    folder, judge = tmp_path_factory.mktemp("prepared"), {"backend": "slow", "rating_protocol": "rating.v1"}
    settings = {**pipeline_settings, "judge": {**pipeline_settings["judge"], **judge, "limit": 60, "ray_shard": 8}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(THIRD_PARTY)
        config = JobConfig.model_validate(settings)
        for stage in ("import", "simulate"):
            pipeline.run_one(stage, config)
        shutil.copytree(folder / "w", folder / "alone")
        pipeline.run_one("judge", config.model_copy(update={"workspace": Path("alone")}))
    return settings, folder


@pytest.fixture
def job(prepared, write, here):
    """The job's config, beside copies of both workspaces."""
    settings, folder = prepared
    shutil.copytree(folder, here, dirs_exist_ok=True)
    return write(settings)


def on(cluster, job, *more):
    return "judge", job, "--set", "judge.engine=ray", "--set", f"judge.ray_address={cluster.address}", *more


def said(path):
    """Return what judges said, by id, without what only says when."""
    with Store.open(path, create=False) as store:
        records = [*store.labels(), *store.records("ratings")]
        judges = {key for key, annotator in store.annotators().items() if annotator.kind == "judge"}
    assert len({record.id for record in records}) == len(records)
    return {record.id: record.model_dump(exclude=MEASURED) for record in records if record.annotator_id in judges}


def shards(here, state):
    return sorted((here / "w/runs/small/judge/shards").glob(f"*/{state}/*.parquet"))


def judging(node):
    """Tell whether a judge is at work on a node: Ray writes into a process's title what it does."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any(map(titled, raylet.children(recursive=True)))


def titled(process):
    with suppress(psutil.Error):
        return " ".join(process.cmdline()).startswith("ray::ShardJudge.judge")
    return False


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it did not come to that in two minutes"
        time.sleep(0.05)


def test_an_interruption_a_kill_and_a_node_that_dies_cost_no_label(cluster, node, job, start, here):
    process = start(*on(cluster, job))
    wait_for(lambda: len(shards(here, "added")) >= 1, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130 and "the cluster finishes what is under way" in err and "Traceback" not in err, err
    first, added = said(here / "w/rewardkit.db"), len(shards(here, "added"))
    assert not shards(here, "said") and first
    process = start(*on(cluster, job))
    wait_for(lambda: len(shards(here, "added")) >= added + 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    second, added = said(here / "w/rewardkit.db"), len(shards(here, "added"))
    assert first.items() < second.items()
    process = start(*on(cluster, job))
    # What was said and not yet added is added first; then a node ends while it judges.
    wait_for(lambda: len(shards(here, "added")) >= added + 2 and judging(node), process)
    cluster.remove_node(node, allow_graceful=False)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0 and "is lost" in err and " 0 labels are there already" not in err, err
    # What a cluster says is what one machine says.
    expected = said(here / "alone/rewardkit.db")
    assert second.items() < expected.items() and said(here / "w/rewardkit.db") == expected and len(expected) > 240
    # What came back is kept as Parquet, and nothing is left of what was asked.
    kept = [row["id"] for path in shards(here, "added") for row in pq.read_table(path).to_pylist()]
    assert sorted(kept) == sorted(expected) and len(shards(here, "added")) > 15
    assert not shards(here, "said") and not list((here / "w/runs/small/judge/shards").glob("*/asked-*"))


def test_failures_are_counted_over_all_shards(cluster, node, job, start, here):
    process = start(*on(cluster, job, "--set", "judge.max_tokens=3"))
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "judgements failed" in err and "longer than max_tokens (" in err, err
    failed = [each for each in said(here / "w/rewardkit.db").values() if each["status"] == "failed"]
    assert 0 < len(failed) < 120


def test_what_a_run_here_paid_without_a_label_counts(cluster, node, job, start, here):
    nobody = "http://127.0.0.1:9/v1"
    with closing(AnswerCache(here / "w" / FILE)) as cache:
        cache.pay("a question", payer("judge-xl", nobody), 0.5)
    server = {"url": nobody, "key_variable": None, "price_in": 1.0, "price_out": 1.0}
    changes = {"backend": "openai", "model": "judge-xl", "max_cost": 0.5, "server": server}
    words = [word for key, value in changes.items() for word in ("--set", f"judge.{key}={json.dumps(value)}")]
    process = start(*on(cluster, job, *words))
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "the budget is used up: 0.5000 of 0.5000 are spent" in err, err


def test_a_judge_that_is_ready_waits_for_no_other(cluster, node, monkeypatch):
    import ray

    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        asleep = ray.remote(num_cpus=0)(lambda seconds: time.sleep(seconds))
        pool = Pool(None, JudgeConfig(backend="fake"), lambda *_: None)
        quick, slow = (ShardWork("labels", Path(name), Path(name), 1) for name in ("quick", "slow"))
        pool._busy = {asleep.remote(0): (None, quick), asleep.remote(8): (None, slow)}
        monkeypatch.setattr(module, "SECONDS", 60.0)
        assert list(pool._wait()) == [quick]
    finally:
        ray.shutdown()


def test_one_is_started_here_where_none_is_named(job, start, here):
    process = start("judge", job, "--set", "judge.engine=ray", RAY_USAGE_STATS_ENABLED="0", SLOW_SECONDS="0")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert said(here / "w/rewardkit.db") == said(here / "alone/rewardkit.db")


def test_an_address_at_which_nobody_listens_is_refused(third_party, job, refused):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{probe.getsockname()[1]}"
    words = ("judge", job, "--set", "judge.engine=ray", "--set")
    refused(*words, f"judge.ray_address={closed}", says=("judge.ray_address", "the cluster cannot be reached"))
    refused(*words, "judge.ray_address=ray://127.0.0.1:1", says="cannot run through Ray's client")
