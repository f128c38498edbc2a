"""The judge on a Ray cluster of three nodes on loopback: the labels are those of one machine, whatever happens."""

from __future__ import annotations

import shutil
import signal
import socket
import time

import pyarrow.parquet as pq
import pytest

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
MEASURED = {"created_at", "seconds"}


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of one processor each; the head has none to judge with."""
    pytest.importorskip("ray", reason='needs the extra ray: pip install "rewardkit[ray]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(THIRD_PARTY))
        patch.setenv("SLOW_SECONDS", "0.2")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
        made = Cluster(True, head_node_args={**head, "object_store_memory": SMALL, "node_ip_address": LOOPBACK})
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def nodes(cluster):
    """Two nodes with a processor each, beside the head."""
    added = [
        cluster.add_node(num_cpus=1, object_store_memory=SMALL, node_ip_address=LOOPBACK, include_dashboard=False)
        for _ in range(2)
    ]
    yield added
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


@pytest.fixture
def job(rewardkit, third_party, settings, write, here):
    """The job's config, in whose store comparisons wait; a copy of the workspace is judged on this machine alone."""
    settings["judge"] |= {"backend": "slow", "rating_protocol": "rating.v1", "limit": 60, "ray_shard": 8}
    path = write(settings)
    assert rewardkit("import", settings["import"]["files"][0], "--to", "w/rewardkit.db", "--source", "sample").code == 0
    assert rewardkit("simulate", path).code == 0
    shutil.copytree(here / "w", here / "alone")
    assert rewardkit("judge", path, "--set", "workspace=alone").code == 0
    return path


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


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it did not come to that in two minutes"
        time.sleep(0.05)


def test_a_clusters_labels_are_those_of_one_machine(cluster, nodes, job, start, here):
    process = start(*on(cluster, job))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0 and "labels ok: 120" in out, err
    expected = said(here / "alone/rewardkit.db")
    assert said(here / "w/rewardkit.db") == expected and len(expected) > 240
    # What came back is kept as Parquet, and nothing is left of what was asked.
    kept = [row["id"] for path in shards(here, "added") for row in pq.read_table(path).to_pylist()]
    assert sorted(kept) == sorted(expected) and len(shards(here, "added")) > 15
    assert not shards(here, "said") and not list((here / "w/runs/small/judge/shards").glob("*/asked-*"))


def test_a_node_that_dies_costs_its_shard_and_no_label(cluster, nodes, job, start, here):
    process = start(*on(cluster, job))
    wait_for(lambda: len(shards(here, "added")) >= 2, process)
    cluster.remove_node(nodes[0], allow_graceful=False)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0 and "is lost" in err, err
    assert said(here / "w/rewardkit.db") == said(here / "alone/rewardkit.db")


def test_a_job_that_is_killed_goes_on_where_it_was(cluster, nodes, job, start, here):
    process = start(*on(cluster, job))
    wait_for(lambda: len(shards(here, "added")) >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    before = said(here / "w/rewardkit.db")
    assert before
    again = start(*on(cluster, job))
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0 and " 0 labels are there already" not in err, err
    after, expected = said(here / "w/rewardkit.db"), said(here / "alone/rewardkit.db")
    assert before.items() <= after.items() and after == expected
    assert not shards(here, "said")


def test_an_interruption_keeps_what_is_under_way(cluster, nodes, job, start, here):
    process = start(*on(cluster, job))
    wait_for(lambda: len(shards(here, "added")) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130 and "the cluster finishes what is under way" in err and "Traceback" not in err, err
    assert not shards(here, "said") and 0 < len(said(here / "w/rewardkit.db")) < len(said(here / "alone/rewardkit.db"))


def test_failures_are_counted_over_all_shards(cluster, nodes, job, start, here):
    process = start(*on(cluster, job, "--set", "judge.max_tokens=3"))
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "judgements failed" in err and "longer than max_tokens (3)" in err, err
    failed = [each for each in said(here / "w/rewardkit.db").values() if each["status"] == "failed"]
    assert 0 < len(failed) < 120


def test_one_is_started_here_where_none_is_named(job, start, here):
    process = start("judge", job, "--set", "judge.engine=ray", RAY_USAGE_STATS_ENABLED="0", SLOW_SECONDS="0")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert said(here / "w/rewardkit.db") == said(here / "alone/rewardkit.db")


def test_an_address_at_which_nobody_listens_is_refused(job, refused):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{probe.getsockname()[1]}"
    words = ("judge", job, "--set", "judge.engine=ray", "--set")
    refused(*words, f"judge.ray_address={closed}", says=("judge.ray_address", "the cluster cannot be reached"))
    refused(*words, "judge.ray_address=ray://127.0.0.1:1", says="cannot run through Ray's client")
