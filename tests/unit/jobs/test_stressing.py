"""Stress tests end to end, with a judge that is known: one that always prefers the longer text."""

from __future__ import annotations

import json

import pytest

from rewardkit.audit_config import StressConfig
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.jobs.pipeline import plan, run, run_one
from rewardkit.jobs.stages import Job
from rewardkit.jobs.stressing import changed_texts, stressed
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Prompt, Response

STORY = (
    "The lamp {n} was out. Nobody had seen the keeper since noon. Anna climbed the stairs with a match. "
    "At the top the wind took it. She sat down in the dark and waited for morning."
)


@pytest.fixture
def job(tmp_path):
    prompt = Prompt.of(())
    responses = [Response.of(prompt.id, STORY.format(n=n)) for n in range(6)]
    comparison = Comparison.of(prompt.id, responses[0].id, responses[1].id)
    with Store.open(tmp_path / "rewardkit.db") as store:
        store.add([prompt, *responses, comparison])
    sections = {"judge": {"backend": "fake"}, "stress": {"count": 4}, "audit": {"by": "text", "resamples": 100}}
    return Job(JobConfig.model_validate({"workspace": tmp_path, **sections}))


def test_texts_and_ways_are_chosen_by_hash_and_limited():
    responses = [Response.of("p", STORY.format(n=n)) for n in range(9)]
    config = StressConfig(count=2, kinds=("padding", "shuffle"))
    made = list(changed_texts(responses, config, 0))
    assert made == list(changed_texts(responses[::-1], config, 0))
    assert len({original.id for original, _ in made}) == 2
    kinds = [record.metadata["corruption"] for _, record in made if isinstance(record, Comparison)]
    assert sorted(kinds) == ["padding", "padding", "shuffle", "shuffle"]
    assert {original.id for original, _ in made} != {o.id for o, _ in changed_texts(responses, config, 5)}


def test_the_judge_is_asked_about_changed_texts_in_a_database_of_their_own(job):
    before = job.store_counts()
    manifest = run_one("stress", job.config)
    assert job.store_counts() == before
    assert manifest.summary["labels ok"] == 2 * 8 * 4
    with Store.open(job.folder("stress").path / manifest.summary["database"], create=False) as store:
        assert store.counts()["comparisons"] == 8 * 4
    found = stressed(job)
    (by_kind,) = found.cases.values()
    assert [judge.name for judge in found.judges.values()] == ["fake/pairwise.v1/fiction"]
    assert {kind: len(cases) for kind, cases in by_kind.items()} == dict.fromkeys(by_kind, 4)
    assert len(by_kind) == 8


def test_the_audit_shows_what_the_judge_made_of_them(job):
    run(job.config)
    found = json.loads((job.folder("audit").path / "audit.json").read_text())
    (judge,) = found["judges"]
    assert [test["effect"] for test in judge["stress"]] == ["worse"] * 3 + ["no_better"] * 5
    assert all(test["unchanged"]["estimate"]["n_units"] == 4 for test in judge["stress"])
    page = (job.folder("audit").path / "audit.html").read_text()
    assert "Texts changed on purpose" in page
    assert {planned.state for planned in plan(job.config)} == {"complete"}


def test_a_judge_that_was_only_tested_is_audited_and_its_limit_is_for_the_store(job):
    config = job.config.model_copy(update={"judge": job.config.judge.model_copy(update={"limit": 1})})
    assert run_one("stress", config).summary["labels ok"] == 2 * 8 * 4
    run_one("audit", config)
    named = config.audit.model_copy(update={"judges": ("fake*",)})
    run_one("audit", config.model_copy(update={"audit": named}))
    (judge,) = json.loads((job.folder("audit").path / "audit.json").read_text())["judges"]
    assert judge["pairs"] is None
    assert len(judge["stress"]) == 8


def test_a_workspace_that_moves_keeps_its_tests(job, tmp_path):
    run_one("stress", job.config)
    before = stressed(job)
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "runs").rename(moved / "runs")
    assert stressed(Job(job.config.model_copy(update={"workspace": moved}))) == before


def test_without_a_judge_or_texts_it_says_what_is_missing(job, tmp_path):
    with pytest.raises(ConfigError, match="stress tests need a judge"):
        run_one("stress", job.config.model_copy(update={"judge": None}))
    with Store.open(tmp_path / "empty.db") as store:
        store.add([Prompt.of(())])
    with pytest.raises(DataError, match="no text in the database can be changed"):
        run_one("stress", job.config.model_copy(update={"db": str(tmp_path / "empty.db")}))
