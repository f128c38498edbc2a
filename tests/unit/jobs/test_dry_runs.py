"""What a dry run says of judges behind servers, and of one stage by itself."""

from __future__ import annotations

import pytest

from rewardkit.config import JobConfig
from rewardkit.jobs.costs import CHARACTERS_PER_TOKEN
from rewardkit.jobs.panels import work_ahead
from rewardkit.jobs.pipeline import plan_one, run_one
from rewardkit.jobs.stages import Job
from rewardkit.store.store import Store

SERVER = {"backend": "openai", "model": "judge-xl"}
PRICES = {"price_in": 1000.0, "price_out": 1000.0}
MANY = 6


@pytest.fixture
def config(tmp_path, add_comparisons):
    def build(*, filled=True, **sections):
        found = JobConfig.model_validate({"workspace": str(tmp_path / "w"), **sections})
        if filled:
            with Store.open(found.database) as store:
                add_comparisons(store, MANY)
        return found

    return build


def size(config):
    (planned,) = plan_one("judge", config)
    return planned.size


def test_requests_tokens_and_cost_of_a_server_are_told_and_nothing_is_written(config, monkeypatch, tmp_path):
    monkeypatch.setenv("JUDGE_KEY", "a key")
    server = {"url": "http://127.0.0.1:9/v1", "key_variable": "JUDGE_KEY", **PRICES}
    asked = config(judge={**SERVER, "server": server, "rating_protocol": "rating.v1"})
    before = sorted((tmp_path / "w").iterdir())
    said = size(asked)
    assert f"{MANY} items, {2 * MANY} requests, about " in said and said.count(" to pay") == 2
    assert "; ratings: " in said
    assert sorted((tmp_path / "w").iterdir()) == before
    cheap = {**server, "price_in": 1e-6, "price_out": 1e-6}
    assert "less than 0.01 to pay" in size(config(judge={**SERVER, "server": cheap}))


def test_a_key_that_is_missing_is_said_beside_the_size(config, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    said = size(config(judge={**SERVER, "server": {"key_variable": "JUDGE_KEY"}}))
    assert said.startswith(f"{MANY} of {MANY} comparisons in 2 orders, with judge-xl; ")
    assert "JUDGE_KEY is not set" in said


def test_each_judge_of_a_panel_has_its_bill(config):
    server = {"url": "http://127.0.0.1:9/v1", "key_variable": None, **PRICES}
    panel = [{"name": "one", "orders": ["ab"]}, {"name": "two"}]
    said = size(config(judge={**SERVER, "server": server, "panel": panel}))
    assert f"one: {MANY} items, {MANY} requests" in said and f"two: {MANY} items, {2 * MANY} requests" in said


def test_a_model_here_is_told_by_what_it_reads_and_what_it_writes(config, tiny_model):
    judge = {"model": str(tiny_model()), "protocol": "pairwise.v1"}
    read = config(judge=judge)
    said = size(read)
    assert f"{MANY} items, {2 * MANY} requests, about " in said and "to pay" not in said
    thinking = config(judge={**judge, "protocol": "reasoned.v1"})
    plain, wordy = work_ahead(Job(read)), work_ahead(Job(thinking))
    assert plain.written == 0 < plain.read and wordy.written >= 2 * MANY * CHARACTERS_PER_TOKEN
    assert work_ahead(Job(config(judge={"model": str(tiny_model() / "gone")}))) is None


def test_a_stage_that_is_complete_is_complete_whatever_comes_before_it(config, tmp_path):
    asked = config(judge={"backend": "fake"}, **{"import": {"files": [str(tmp_path / "never-imported.jsonl")]}})
    run_one("judge", asked)
    assert [planned.state for planned in plan_one("judge", asked)] == ["complete"]


def test_a_database_that_is_not_there_is_said_where_nothing_would_make_it(config):
    assert size(config(filled=False, judge={"backend": "fake"})) == "known later (there is no database here)"
