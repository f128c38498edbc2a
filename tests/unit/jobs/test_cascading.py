"""A cascade end to end: judges whose worth is known, people whose labels fix the thresholds."""

from __future__ import annotations

import math
from random import Random

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import DataError
from rewardkit.jobs import cascading
from rewardkit.jobs.labelling import comparisons_of
from rewardkit.jobs.pipeline import plan, run_one
from rewardkit.jobs.stages import Job
from rewardkit.judge.contract import Completion
from rewardkit.judge.fake import FakeBackend
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

ITEMS, LABELLED = 400, 280


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
        if number < LABELLED:
            records.append(Label.of(comparison.id, person.id, choice="a" if a > b else "b"))
    with Store.open(tmp_path / "rewardkit.db") as store:
        store.add(records)
    judges = [{"name": n, "backend": "fake", "model": n, "price": p} for n, p in (("cheap", 1), ("dear", 20))]
    cascade = {"judges": judges, "agreement": 0.85, "people_price": 300}
    return Job(JobConfig.model_validate({"workspace": tmp_path, "name": "two", "cascade": cascade}))


def labels_of(job):
    with Store.open(job.config.database, create=False) as store:
        judges = {who.id: who for who in store.annotators().values() if who.kind == "judge"}
        people = {who.id for who in store.annotators().values() if who.kind == "human"}
        labels = list(store.labels())
        texts = {each.comparison.id: each for each in store.comparisons()}
    return judges, [label for label in labels if label.annotator_id not in people], texts


def test_the_dear_judge_is_asked_only_what_the_cheap_one_passed_on(job, asked):
    told = run_one("cascade", job.config).summary
    judges, labels, texts = labels_of(job)
    (cascade,) = judges.values()
    assert cascade.name == "cascade/two"
    unlabelled = len(texts) - told["human labels that fixed it"]
    assert len(labels) < unlabelled
    by = {"cheap": 0, "dear": 0}
    for label in labels:
        if label.status == "ok":
            by[label.metadata["answered_by"]] += 1
    assert by == {"cheap": told["answered by cheap"], "dear": told["answered by dear"]}
    assert min(by.values()) > 0
    abstained = sum(label.status == "abstained" for label in labels)
    assert abstained == told["left to people"]
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
    left = {label.comparison_id for label in labels if label.status == "abstained"}
    assert len(left) == told["left to people"] > 0
    with Store.open(job.config.database, create=False) as store:
        chosen = comparisons_of(store, LabelConfig(left_by="cascade/two"))
    assert {comparison.id for comparison in chosen} == left


def test_labels_that_a_model_is_tested_on_fix_no_threshold(job, asked):
    config = JobConfig.model_validate({**job.config.resolved(), "aggregate": {}})
    labelled, others = cascading._divided(Job(config))
    assert 0.5 < len(labelled) / LABELLED < 0.7
    assert len(labelled) + len(others) == len(labels_of(job)[2])


def test_too_few_labels_are_said(job, asked, tmp_path):
    with Store.open(tmp_path / "few.db") as few, Store.open(job.config.database) as store:
        few.add([*store.prompts(), *store.responses(), *(each.comparison for each in store.comparisons())])
    with pytest.raises(DataError, match="0 comparisons with human labels are too few"):
        run_one("cascade", job.config.model_copy(update={"db": str(tmp_path / "few.db")}))
    assert not asked
