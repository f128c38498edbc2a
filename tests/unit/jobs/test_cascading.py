"""A cascade end to end: judges whose worth is known, people whose labels fix the thresholds."""

from __future__ import annotations

import json
import math
from collections import Counter
from random import Random

import pytest

from rewardkit.cascade_config import LABELLED, LEFT, CascadeJudge
from rewardkit.config import JobConfig
from rewardkit.errors import DataError
from rewardkit.jobs import cascading
from rewardkit.jobs.labelling import comparisons_of
from rewardkit.jobs.pipeline import plan, run_one
from rewardkit.jobs.preferences import FILE, read_preferences
from rewardkit.jobs.stages import Job
from rewardkit.judge.contract import Completion
from rewardkit.judge.fake import FakeBackend
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

ITEMS, BY_PEOPLE = 400, 280
# Thousands of questions each.
pytestmark = pytest.mark.slow


def quality(text):
    return int(text.rsplit(" ", 1)[-1])


def knowing(noise):
    """A judge that sees the qualities through noise, and is the less sure the closer they are."""

    def answer(request):
        first, second = (part.split("</response")[0].strip() for part in request.user.split("<response_")[1:3])
        # The same mistake in both orders: averaging them does not mend it.
        mistake = Random(request.about.split()[0]).gauss(0, noise) * (1 if quality(first) < quality(second) else -1)
        logit = 4 * ((quality(first) - quality(second)) / 100 + mistake)
        return Completion({"A": -math.log1p(math.exp(-logit)), "B": -math.log1p(math.exp(logit))}, tokens=10)

    return answer


@pytest.fixture
def asked(monkeypatch):
    """The fake backend with a noise by model, and what each model was asked."""
    seen = {}

    def opened(config, *_):
        backend = FakeBackend(knowing({"cheap": 0.5, "dear": 0.05, "fair": 0.6}[config.model]))
        backend.model, backend.seen = config.model, seen.setdefault(config.model, [])
        return backend

    from rewardkit.judge import judges

    monkeypatch.setattr(judges, "open_backend", opened)
    return seen


@pytest.fixture
def job(tmp_path):
    random, records = Random(7), []
    person = Annotator.of("human", "kim")
    records.append(person)
    for number in range(ITEMS):
        prompt = Prompt.of((Message(role="user", content=f"story {number}"),))
        both = [Response.of(prompt.id, f"text {random.randrange(100)}") for _ in range(2)]
        if both[0].id == both[1].id:
            continue
        comparison = Comparison.of(prompt.id, both[0].id, both[1].id)
        by_id = {each.id: each for each in both}
        a, b = (quality(by_id[each].text) for each in (comparison.response_a, comparison.response_b))
        records += [prompt, *both, comparison]
        if number < BY_PEOPLE:
            records.append(Label.of(comparison.id, person.id, choice="a" if a > b else "b"))
    with Store.open(tmp_path / "rewardkit.db") as store:
        store.add(records)
    judges = [{"name": n, "backend": "fake", "model": n, "price": p} for n, p in (("cheap", 1), ("dear", 20))]
    cascade = {"judges": judges, "agreement": 0.85, "people_price": 300}
    return Job(JobConfig.model_validate({"workspace": tmp_path, "name": "two", "cascade": cascade}))


def people_of(job):
    """What people labelled, by id."""
    with Store.open(job.config.database, create=False) as store:
        people = {who.id for who in store.annotators().values() if who.kind == "human"}
        return {label.comparison_id for label in store.labels() if label.annotator_id in people}


def labels_of(job):
    with Store.open(job.config.database, create=False) as store:
        judges = {who.id: who for who in store.annotators().values() if who.kind == "judge"}
        people = {who.id for who in store.annotators().values() if who.kind == "human"}
        labels = list(store.labels())
        texts = {each.comparison.id: each for each in store.comparisons()}
    return judges, [label for label in labels if label.annotator_id not in people], texts


def test_the_dear_judge_is_asked_only_what_the_cheap_one_passed_on(job, asked):
    told = run_one("cascade", job.config).summary
    judges, found, texts = labels_of(job)
    (cascade,) = judges.values()
    assert cascade.name == "cascade/two"
    # Every comparison has one label of the cascade, those that people labelled too: a judge is weighed beside people.
    assert sorted(label.comparison_id for label in found) == sorted(texts)
    labels = [label for label in found if label.comparison_id not in people_of(job)]
    by = Counter(label.metadata["answered_by"] for label in labels if label.status == "ok")
    assert by == {"cheap": told["answered by cheap"], "dear": told["answered by dear"]}
    assert min(by.values()) > 0
    assert sum(label.status == "abstained" for label in labels) == told["left to people"]
    already = told["labelled by people already"]
    assert already + sum(by.values()) + told["left to people"] == told["comparisons"] == len(texts)
    # Both orders each: the dear one is not asked what the cheap one answered.
    assert len(asked["cheap"]) == 2 * len(texts)
    assert len(asked["dear"]) == 2 * (len(texts) - by["cheap"])
    right = [
        (quality(texts[x.comparison_id].response_a.text) > quality(texts[x.comparison_id].response_b.text))
        == (x.choice == "a")
        for x in labels
        if x.status == "ok"
    ]
    # Three standard errors below what was promised would be a broken promise.
    assert sum(right) / len(right) > 0.85 - 3 * math.sqrt(0.85 * 0.15 / len(right))
    assert told["promised agreement"] == pytest.approx(0.85)


def test_it_is_complete_afterwards_and_asks_nothing_again(job, asked):
    run_one("cascade", job.config)
    before = {model: len(requests) for model, requests in asked.items()}
    assert [planned.state for planned in plan(job.config)] == ["complete"]
    run_one("cascade", job.config, force=True)
    assert {model: len(requests) for model, requests in asked.items()} == before


def test_people_label_what_no_judge_answers(job, asked):
    fair = job.config.cascade.judges[1].model_copy(update={"model": "fair"})
    cascade = job.config.cascade.model_copy(update={"judges": (fair,)})
    config = job.config.model_copy(update={"cascade": cascade})
    told = run_one("cascade", config).summary
    _, labels, _ = labels_of(job)
    left = {label.comparison_id for label in labels if label.reason == LEFT}
    assert len(left) == told["left to people"] > 0
    assert not left & people_of(job)
    assert any(label.reason == LABELLED for label in labels)
    with Store.open(job.config.database, create=False) as store:
        chosen = comparisons_of(store, LabelConfig(left_by="cascade/two"))
    assert {comparison.id for comparison in chosen} == left


def test_labels_that_a_model_is_tested_on_fix_no_threshold(job, asked):
    config = JobConfig.model_validate({**job.config.resolved(), "aggregate": {}})
    divided = cascading._divided(Job(config))
    assert 0.5 < len(divided.labelled) / BY_PEOPLE < 0.7
    assert len(divided.labelled) + len(divided.others) == len(labels_of(job)[2])
    assert len(divided.voted) > 0.9 * BY_PEOPLE
    assert divided.hash != cascading._divided(job).hash


def test_another_division_makes_it_stale(job, asked):
    run_one("cascade", job.config)
    config = JobConfig.model_validate({**job.config.resolved(), "aggregate": {}})
    (planned,) = [each for each in plan(config) if each.stage == "cascade"]
    assert planned.state == "stale"


def test_a_second_run_replaces_what_the_first_one_said(job, asked):
    first = run_one("cascade", job.config).summary
    stricter = job.config.cascade.model_copy(update={"agreement": 0.95, "delta": 0.01})
    told = run_one("cascade", job.config.model_copy(update={"cascade": stricter})).summary
    assert told["left to people"] != first["left to people"]
    _, labels, texts = labels_of(job)
    assert sorted(label.comparison_id for label in labels) == sorted(texts)
    with Store.open(job.config.database, create=False) as store:
        chosen = comparisons_of(store, LabelConfig(left_by="cascade/two"))
        before = len(list(store.labels(superseded=True)))
    assert len(chosen) == told["left to people"]
    run_one("cascade", job.config.model_copy(update={"cascade": stricter}), force=True)
    with Store.open(job.config.database, create=False) as store:
        assert len(list(store.labels(superseded=True))) == before


def test_its_labels_are_weighed_and_taught(job, asked):
    config = JobConfig.model_validate({**job.config.resolved(), "aggregate": {"split": {"by": "prompt"}}})
    run_one("cascade", config)
    told = run_one("aggregate", config).summary
    assert told["judge_weight"] > 0.2
    examples = read_preferences(Job(config).folder("aggregate").path / FILE)
    judged = [each.preference for each in examples if not each.preference.n_human and each.preference.n_judge]
    assert len(judged) > 40
    assert all(each.sample_weight > 0 and each.p_a != 0.5 for each in judged)


def test_what_people_taught_a_judge_fixes_no_threshold(job, asked, tmp_path):
    wrong = sorted(people_of(job))[:3]
    note = {"id": "n", "text": "Shorter is better.", "status": "approved", "by": "kim", "at": "2026-01-01"}
    notes = tmp_path / "notes.yaml"
    notes.write_text(json.dumps({"notes": [{**note, "comparisons": wrong}]}))
    judges = tuple(judge.model_copy(update={"notes": str(notes)}) for judge in job.config.cascade.judges)
    cascade = job.config.cascade.model_copy(update={"judges": judges})
    divided = cascading._divided(Job(job.config.model_copy(update={"cascade": cascade})))
    assert all(divided.labelled[item].fits for item in wrong)
    with pytest.raises(ValueError, match="demonstrations cannot stand in a cascade"):
        CascadeJudge.model_validate({"name": "taught", "demonstrations": {}})


def test_too_few_labels_are_said(job, asked, tmp_path):
    with Store.open(tmp_path / "few.db") as few, Store.open(job.config.database) as store:
        few.add([*store.prompts(), *store.responses(), *(each.comparison for each in store.comparisons())])
    with pytest.raises(DataError, match="0 comparisons with human labels are too few"):
        run_one("cascade", job.config.model_copy(update={"db": str(tmp_path / "few.db")}))
    assert not asked
