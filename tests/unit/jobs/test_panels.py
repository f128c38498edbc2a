"""A panel: each of its judges labels everything in its own name, and one budget is for all."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, JobFailed
from rewardkit.jobs import panels
from rewardkit.jobs.names import check_names
from rewardkit.jobs.pipeline import run_one
from rewardkit.jobs.stages import Job
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store

server = runpy.run_path(str(Path(__file__).parents[2] / "judging.py"))["server"]
EDITOR = {"name": "editor", "persona": "You read as an editor."}
READER = {"name": "reader", "persona": "You read for pleasure."}
MANY = 6


@pytest.fixture
def job(tmp_path, add_comparisons):
    def build(panel, **judge):
        judge = {"backend": "fake", "panel": panel, **judge}
        return Job(JobConfig.model_validate({"workspace": str(tmp_path), "judge": judge}))

    with Store.open(build([]).config.database) as store:
        add_comparisons(store, MANY)
    return build


def labels_by_judge(job):
    """Return what each judge said, by name: comparison and order: p_a."""
    with Store.open(job.config.database, create=False) as store:
        names = {each.id: each.name for each in store.annotators().values()}
        found = {}
        for label in store.labels():
            found.setdefault(names[label.annotator_id], {})[label.comparison_id, label.order_shown] = label.p_a
    return found


def test_each_judge_labels_everything_in_its_own_name(job):
    asked = job([EDITOR, READER, {"name": "rater", "rating_protocol": "rating.v1", "orders": ["ab"]}])
    summary = run_one("judge", asked.config).summary
    found = labels_by_judge(asked)
    assert {name: len(labels) for name, labels in found.items()} == {
        "fake/pairwise.v1/fiction/editor": 2 * MANY,
        "fake/pairwise.v1/fiction/reader": 2 * MANY,
        "fake/pairwise.v1/fiction/rater": MANY,
    }
    editor, reader, _ = found.values()
    assert editor != reader, "a persona is part of the question"
    assert summary["labels ok"] == 5 * MANY
    assert summary["ratings ok"] > 0


def test_a_bad_judge_does_not_keep_the_others_from_judging(job):
    asked = job([{"name": "sick", "max_tokens": 1}, EDITOR, {"name": "ill", "max_tokens": 2}])
    with pytest.raises(JobFailed, match=r"(?s)2 of 3 judges failed: sick: 12 of 12 .*; ill: 12 of 12 "):
        run_one("judge", asked.config)
    with Store.open(asked.config.database, create=False) as store:
        names = {each.id: each.name.rpartition("/")[2] for each in store.annotators().values()}
        said = Counter((names[label.annotator_id], label.status) for label in store.labels())
    assert said == {("sick", "failed"): 2 * MANY, ("editor", "ok"): 2 * MANY, ("ill", "failed"): 2 * MANY}


def test_what_a_judge_of_the_panel_has_said_is_not_asked_again(job):
    asked = job([EDITOR])
    run_one("judge", asked.config)
    before = labels_by_judge(asked)["fake/pairwise.v1/fiction/editor"]
    both = job([EDITOR, READER])
    summary = run_one("judge", both.config).summary
    assert summary["labels ok"] == 2 * MANY
    assert labels_by_judge(both)["fake/pairwise.v1/fiction/editor"] == before


def test_a_judge_without_a_panel_is_as_it_was(job):
    run_one("judge", job([]).config)
    assert list(labels_by_judge(job([]))) == ["fake/pairwise.v1/fiction"]
    assert set(panels.inputs(job([]))) == {"rubric", "store: prompts responses comparisons"}


def test_the_plan_speaks_of_each_judge(job):
    asked = job([EDITOR, {**READER, "rubric": "joke"}])
    assert panels.size(asked).startswith("editor: 6 of 6 comparisons") and "; reader: 6 of 6" in panels.size(asked)
    inputs = panels.inputs(asked)
    assert inputs["editor: rubric"] != inputs["reader: rubric"]


def test_judges_of_one_family_are_named(job, capsys):
    run_one("judge", job([EDITOR, {**READER, "model": "Llama-3-8B"}]).config)
    assert "family" not in capsys.readouterr().err
    run_one("judge", job([{**EDITOR, "model": "meta-llama/Llama-3-70B"}, {**READER, "model": "llama3"}]).config)
    assert "editor, reader are of one family of models (llama)" in capsys.readouterr().err


def test_one_budget_is_for_all(job, server, capsys):
    server.reset()
    url = {"url": server.url, "key_variable": None, "price_in": 1000.0, "price_out": 1000.0, "attempts": 1}
    shared = {"backend": "openai", "model": "m", "server": url, "cache": False}
    asked = job([EDITOR], **shared)
    run_one("judge", asked.config)
    with Store.open(asked.config.database, create=False) as store:
        (payer,) = (each.id for each in store.annotators().values())
        cost = store.spent(payer)
    assert cost > 0
    both = job([EDITOR, READER], **shared, max_cost=1.5 * cost)
    for _ in range(2):
        with pytest.raises(JobFailed, match="the budget is used up"):
            run_one("judge", both.config)
        counts = Counter({name: len(labels) for name, labels in labels_by_judge(both).items()})
        assert counts["m/pairwise.v1/fiction/editor"] == 2 * MANY
        assert 0 < counts["m/pairwise.v1/fiction/reader"] < 2 * MANY
        with Store.open(both.config.database, create=False) as store:
            assert sum(store.spent(each.id) for each in store.annotators().values()) <= 1.5 * cost
    run_one("judge", job([EDITOR, READER], **shared, max_cost=3 * cost).config)
    assert {len(labels) for labels in labels_by_judge(both).values()} == {2 * MANY}


@pytest.mark.parametrize(
    ("panel", "says"),
    [
        ([EDITOR, {**READER, "name": "editor"}], "a name of its own"),
        ([EDITOR, {"persona": "You read."}], "a name of its own"),
        ([EDITOR, {**EDITOR, "name": "twin"}], "differ in nothing but the name"),
        ([EDITOR, {**READER, "rubrik": "joke"}], "panel: reader: rubrik: Extra inputs"),
        ([EDITOR, {**READER, "limit": 0}], "panel: reader: limit: "),
        ([EDITOR, {**READER, "panel": [EDITOR]}], "no panel of its own"),
    ],
)
def test_what_is_no_panel_is_refused(panel, says):
    with pytest.raises(ValueError, match=says):
        JudgeConfig.model_validate({"backend": "fake", "panel": panel})


def test_names_of_all_judges_are_looked_up_before_anything_runs(job):
    with pytest.raises(ConfigError, match=r"did you mean 'pairwise\.v1'"):
        check_names(job([EDITOR, {**READER, "protocol": "pairwize.v1"}]).config)


def test_a_backend_of_its_own_has_a_server_of_its_own():
    shared = {"server": {"url": "http://127.0.0.1:1/v1", "key_variable": None}, "backend": "openai", "model": "m"}
    one, other = JudgeConfig.model_validate({**shared, "panel": [EDITOR, {**READER, "backend": "anthropic"}]}).members()
    assert one.server.url == "http://127.0.0.1:1/v1" and "127.0.0.1" not in other.server.url
