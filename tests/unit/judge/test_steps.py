"""A run with a protocol that asks in rounds: two questions, then one that depends on their answers."""

from __future__ import annotations

from math import log

import pytest

from rewardkit.errors import JobFailed
from rewardkit.judge.contract import Completion, Failure, PairVerdict, Request
from rewardkit.judge.estimating import estimate_comparisons
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge_config import JudgeConfig

CONFIG = JudgeConfig(backend="fake", orders=("ab",))
LABELS = ("A", "B")


class TwoRounds:
    """Asks two critics, then a reader, who is shown what the critics said."""

    name, prompt_hash, needs = "rounds.v1", "hash", frozenset({"labels"})

    def compare(self, texts, rubric, order):
        item = texts.prompt.messages[0].content
        critics = yield tuple(Request("", f"{item} critic {n}", "", LABELS) for n in (1, 2))
        if any(critic.failure for critic in critics):
            return Failure("a critic: " + next(critic.failure for critic in critics if critic.failure))
        said = sum(critic.logprobs["A"] > critic.logprobs["B"] for critic in critics)
        (reader,) = yield (Request("", f"{item} reader of {said}", "", LABELS),)
        return Failure(reader.failure) if reader.failure else PairVerdict(said / 2, 0.0)


class AskNothing:
    """Knows without asking."""

    name, prompt_hash, needs = "nothing.v1", "hash", frozenset({"labels"})

    def compare(self, texts, rubric, order):
        return Failure("too long to ask")
        yield ()


class Paid(FakeBackend):
    """Each attempt costs an eighth."""

    def __init__(self, answer=None):
        super().__init__(answer)
        self.allow = lambda amount: True

    def price(self, request):
        return 0.125


class Flowing(Paid):
    """Has a few requests under way, and answers the oldest when nothing more comes."""

    def stream(self, requests):
        waiting, numbered = [], enumerate(request for request in requests)
        asked = 0
        for _, request in numbered:
            if request is not None:
                waiting.append((asked, request))
                asked += 1
            if request is None or len(waiting) >= 4:
                number, oldest = waiting.pop(0)
                yield number, self.complete([oldest])[0]
        # A reader of an answer may have been asked for only now.
        while waiting:
            number, oldest = waiting.pop(0)
            yield number, self.complete([oldest])[0]


def even(request):
    return Completion({"A": log(0.6), "B": log(0.4)}, tokens=3, cost=0.125)


@pytest.fixture
def items(texts):
    return [texts(prompt=f"item {n:02d}") for n in range(30)]


def asked(backend):
    return [request.user for request in backend.seen]


@pytest.mark.parametrize("kind", [Paid, Flowing])
def test_who_was_asked_first_is_asked_on_before_anybody_new(rubric, items, kind):
    backend = kind(even)
    _, *labels = judge_comparisons(items, Judge(backend, TwoRounds(), rubric), CONFIG)
    assert [label.p_a for label in labels] == [1.0] * 30 and {label.cost for label in labels} == {0.375}
    assert {label.tokens for label in labels} == {9}
    assert len(backend.seen) == 90
    for item in items:
        name = item.prompt.messages[0].content
        mine = [user for user in asked(backend) if user.startswith(name)]
        assert mine == [f"{name} critic 1", f"{name} critic 2", f"{name} reader of 2"]
    # Never more than one batch of new items between an item's first round and its last.
    order = asked(backend)
    distance = [order.index(f"item {n:02d} reader of 2") - order.index(f"item {n:02d} critic 2") for n in range(30)]
    assert max(distance) <= 48


def test_of_a_batch_the_later_rounds_come_before_new_items(rubric, items):
    backend = Paid(even)
    list(judge_comparisons(items, Judge(backend, TwoRounds(), rubric), CONFIG))
    # 32 at a time: the critics of 16 items, then their readers and the critics of the next 8.
    order = asked(backend)
    assert [user.split()[2] for user in order[:32]] == ["critic"] * 32
    assert order[32:48] == [f"item {n:02d} reader of 2" for n in range(16)]
    assert order[48] == "item 16 critic 1"


@pytest.mark.parametrize("kind", [Paid, Flowing])
@pytest.mark.parametrize("pays_for", [7, 32, 33, 50, 89])
def test_a_budget_that_ends_between_rounds_ends_the_job_cleanly(rubric, items, kind, pays_for):
    backend, labels = kind(even), []
    config = CONFIG.model_copy(update={"max_cost": pays_for * 0.125})
    with pytest.raises(JobFailed, match="the budget is used up"):
        labels.extend(judge_comparisons(items, Judge(backend, TwoRounds(), rubric), config))
    assert len(backend.seen) == pays_for
    readers = [user for user in asked(backend) if "reader" in user]
    assert len(labels) - 1 == len(readers) and all(label.status == "ok" for label in labels[1:])


def test_a_budget_that_just_suffices_is_no_failure(rubric, items):
    config = CONFIG.model_copy(update={"max_cost": 90 * 0.125})
    assert len(list(judge_comparisons(items, Judge(Paid(even), TwoRounds(), rubric), config))) == 31


@pytest.mark.parametrize("kind", [Paid, Flowing])
def test_a_failure_in_any_round_is_one_failed_label(rubric, items, kind):
    def answer(request):
        number, who = int(request.user.split()[1]), request.user.split()[2]
        broken = (number == 3 and request.user.endswith("critic 2")) or (number == 5 and who == "reader")
        return Completion(failure="silence", tokens=1) if broken else even(request)

    _, *labels = judge_comparisons(items, Judge(kind(answer), TwoRounds(), rubric), CONFIG)
    reasons = {label.comparison_id: label.reason for label in labels if label.status == "failed"}
    assert reasons == {items[3].comparison.id: "a critic: silence", items[5].comparison.id: "silence"}
    assert len(labels) == 30
    strict = CONFIG.model_copy(update={"max_failure_rate": 0.05})
    with pytest.raises(JobFailed, match="2 of 30 judgements failed"):
        list(judge_comparisons(items, Judge(kind(answer), TwoRounds(), rubric), strict))


def test_an_estimate_counts_all_rounds(rubric, items):
    estimate = estimate_comparisons(items, Judge(Paid(), TwoRounds(), rubric), CONFIG)
    # "item 00 critic 1" and "item 00 reader of 0" have 4 and 5 words.
    assert (estimate.items, estimate.records, estimate.requests) == (30, 30, 90)
    assert estimate.tokens == 30 * (4 + 4 + 5) and estimate.cost == pytest.approx(90 * 0.125)


def test_an_estimate_of_a_sample_is_scaled_to_all(rubric, items):
    estimate = estimate_comparisons(items[:10], Judge(Paid(), TwoRounds(), rubric), CONFIG).scaled(300, 400)
    assert (estimate.items, estimate.records, estimate.requests, estimate.tokens) == (300, 400, 1200, 400 * 13)
    assert estimate.cost == pytest.approx(1200 * 0.125)
    none = estimate_comparisons([], Judge(Paid(), TwoRounds(), rubric), CONFIG)
    assert none.scaled(0, 0) == none


def test_an_item_about_which_nothing_is_asked_is_labelled_all_the_same(rubric, items):
    config = CONFIG.model_copy(update={"max_failure_rate": 1.0})
    backend = FakeBackend()
    _, *labels = judge_comparisons(items, Judge(backend, AskNothing(), rubric), config)
    assert [label.comparison_id for label in labels] == [item.comparison.id for item in items]
    assert {label.reason for label in labels} == {"too long to ask"} and not backend.seen
    with pytest.raises(JobFailed, match="30 of 30"):
        list(judge_comparisons(items, Judge(backend, AskNothing(), rubric), CONFIG))


def test_what_is_checked_goes_out_while_there_is_nothing_to_ask(rubric, texts):
    from rewardkit.judge.rating import RatingV1
    from rewardkit.judge.running import judge_ratings
    from rewardkit.rubric import Rubric

    checked = {"name": "length", "description": "It is short.", "check": {"name": "words", "most": 3}}
    hybrid = Rubric.model_validate({**rubric.model_dump(), "criteria": [*rubric.model_dump()["criteria"], checked]})
    read = []

    def items():
        for n in range(50):
            read.append(texts(first=f"A cat {n}."))
            yield read[-1]

    everything = {(texts(first=f"A cat {n}.").response.id, name, 0) for n in range(50) for name in ("wit", "clarity")}
    stream = judge_ratings(items(), Judge(FakeBackend(), RatingV1(), hybrid), CONFIG, already=everything)
    next(stream)
    for number in range(1, 51):
        assert next(stream).criterion == "length" and len(read) == number
    assert next(stream, None) is None
