from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, JobFailed, MissingExtraError, ModelError, UserError
from rewardkit.jobs.cluster.engine import _check, _each, judge_on_ray
from rewardkit.jobs.cluster.ledger import Bounds, Ledger
from rewardkit.jobs.cluster.worker import Refusal
from rewardkit.jobs.keeping import Kept
from rewardkit.jobs.stages import Job
from rewardkit.judge.budget import Budget
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store


def test_without_the_extra_the_error_carries_the_pip_line(tmp_path, monkeypatch, add_comparisons):
    with Store.open(tmp_path / "rewardkit.db") as store:
        add_comparisons(store, 1)
    judge = {"backend": "fake", "engine": "ray"}
    job = Job(JobConfig.model_validate({"name": "small", "workspace": str(tmp_path), "judge": judge}))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rewardkit\[ray\]"'):
        judge_on_ray(job, job.folder("judge"))


def test_what_a_server_allows_is_shared_by_all_judges():
    server = {"requests_a_minute": 300, "tokens_a_minute": 9000}
    alone = JudgeConfig(backend="openai", server=server)
    with pytest.raises(ConfigError, match="judge.ray_workers"):
        _each(alone)
    shared = _each(alone.model_copy(update={"ray_workers": 3})).server
    assert (shared.requests_a_minute, shared.tokens_a_minute) == (100, 3000)
    assert _each(JudgeConfig(backend="fake")) == JudgeConfig(backend="fake")


def test_an_error_from_another_machine_keeps_its_words():
    error = ModelError("no such model", where="judge.model", expected="a folder", fix="make one")
    back = Refusal.of(error).error()
    assert isinstance(back, UserError) and str(back) == str(error)
    back = Refusal.of(JobFailed("it broke")).error()
    assert isinstance(back, JobFailed) and str(back) == "it broke"
    back = Refusal.of(MissingExtraError("torch", "judge")).error()
    assert str(back) == str(MissingExtraError("torch", "judge"))


def test_a_run_that_was_stopped_is_no_success(tmp_path):
    config = JudgeConfig(backend="fake")
    ledger = Ledger(Bounds(None, 0.0, (), config.max_failure_rate, tmp_path, tmp_path / "answers.db"))
    ledger.answered("one", 20, {"noise": 5})
    ledger.answered("two", 400, {})
    run = SimpleNamespace(config=config, kept=Kept(), call=lambda method: getattr(ledger, method)())
    with pytest.raises(JobFailed, match="5 of 20 judgements failed"):
        _check(run, Budget())


@pytest.mark.slow
def test_nothing_but_a_cluster_loads_ray():
    modules = "rewardkit.jobs.pipeline, rewardkit.jobs.cluster.engine, rewardkit.jobs.cluster.pool"
    code = f"import sys, {modules}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
