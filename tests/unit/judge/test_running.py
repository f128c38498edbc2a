from __future__ import annotations

from math import log

import pytest

from rewardkit.errors import JobFailed
from rewardkit.judge.contract import Completion
from rewardkit.judge.estimating import estimate_comparisons, estimate_ratings
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge, open_judges
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.rating import RatingV1, RatingV2
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge.structured import RatingJsonV1
from rewardkit.judge_config import JudgeConfig
from rewardkit.rubric import Rubric
from rewardkit.types import Annotator

CONFIG = JudgeConfig(backend="fake")


def always(**shares):
    return lambda request: Completion({label: log(share) for label, share in shares.items()}, tokens=7, seconds=0.5)


def broken(reason="out of order"):
    return lambda request: Completion(failure=reason)


@pytest.fixture
def compare(rubric):
    def run(items, answer=None, config=CONFIG, **kwargs):
        judge = Judge(FakeBackend(answer), PairwiseV1(), rubric)
        annotator, *labels = judge_comparisons(items, judge, config, **kwargs)
        assert annotator == judge.annotator
        return labels

    return run


def test_the_shown_order_is_undone(compare, texts):
    ab, ba = compare([texts()], always(A=0.6, B=0.2))
    assert (ab.order_shown, ba.order_shown) == ("ab", "ba")
    assert ab.p_a == pytest.approx(0.75)
    assert ba.p_a == pytest.approx(0.25)
    assert (ab.choice, ba.choice) == ("a", "b")
    assert (ab.tokens, ab.seconds, ab.status) == (7, 0.5, "ok")
    assert ab.metadata["mass_outside"] == pytest.approx(0.2)


def test_an_even_answer_is_a_tie(compare, texts):
    assert {label.choice for label in compare([texts()], always(A=0.4, B=0.4))} == {"tie"}


def test_what_is_there_already_is_not_asked_again(rubric, texts):
    items = [texts(prompt=f"Prompt {n}") for n in range(3)]
    done = {(items[0].comparison.id, "ab", 0), (items[0].comparison.id, "ba", 0), (items[2].comparison.id, "ba", 0)}
    backend = FakeBackend()
    _, *labels = judge_comparisons(items, Judge(backend, PairwiseV1(), rubric), CONFIG, already=done)
    expected = [(items[1].comparison.id, "ab"), (items[1].comparison.id, "ba"), (items[2].comparison.id, "ab")]
    assert [(label.comparison_id, label.order_shown) for label in labels] == expected
    assert len(backend.seen) == 3


def test_a_run_in_two_parts_says_what_one_run_says(compare, texts):
    items = [texts(prompt=f"Prompt {n}") for n in range(40)]
    whole = compare(items)
    first = whole[:31]
    rest = compare(items, already={(label.comparison_id, label.order_shown, label.repeat) for label in first})
    assert [label.id for label in first + rest] == [label.id for label in whole]


def test_labels_arrive_before_all_comparisons_are_read(rubric, texts):
    read = []

    def endless():
        n = 0
        while True:
            read.append(n)
            yield texts(prompt=f"Prompt {n}")
            n += 1

    stream = judge_comparisons(endless(), Judge(FakeBackend(), PairwiseV1(), rubric), CONFIG)
    assert isinstance(next(stream), Annotator)
    assert not read
    next(stream)
    assert len(read) <= 32


def test_a_failure_is_a_record_with_its_reason(compare, texts):
    config = CONFIG.model_copy(update={"max_failure_rate": 1.0})
    for label in compare([texts()], broken(), config):
        assert (label.status, label.choice, label.p_a) == ("failed", None, None)
        assert label.reason == "out of order"


def test_a_job_in_which_too_many_fail_stops_early_and_says_why(rubric, texts):
    judge = Judge(FakeBackend(broken()), PairwiseV1(), rubric)
    stream = judge_comparisons((texts(prompt=f"{n}") for n in range(1000)), judge, CONFIG)
    seen = []
    with pytest.raises(JobFailed, match="32 of 32 judgements failed: 32 x out of order"):
        seen.extend(stream)
    assert len(seen) == 1 + 32


def test_few_failures_are_survived_and_many_are_not_even_in_a_small_job(compare, texts):
    items = [texts(prompt=f"{n}") for n in range(5)]
    calls = iter(range(100))

    def answer(request):
        return Completion(failure="hiccup") if next(calls) < 2 else None

    assert sum(label.status == "failed" for label in compare(items, answer)) == 2
    calls = iter(range(100))
    with pytest.raises(JobFailed, match="2 of 10"):
        compare(items, answer, CONFIG.model_copy(update={"max_failure_rate": 0.1}))


def test_the_limit_counts_comparisons(compare, texts):
    items = [texts(prompt=f"{n}") for n in range(5)]
    config = CONFIG.model_copy(update={"limit": 2, "orders": ("ba", "ba")})
    labels = compare(items, config=config)
    assert [label.comparison_id for label in labels] == [item.comparison.id for item in items[:2]]


@pytest.mark.parametrize(
    ("limit", "total", "share"), [(2, 5, 0.4), (5, 5, 1.0), (9, 5, 1.0), (None, 5, 1.0), (2, None, 1.0)]
)
def test_labels_under_a_limit_state_how_many_were_taken(compare, texts, limit, total, share):
    items = [texts(prompt=f"{n}") for n in range(5)]
    config = CONFIG.model_copy(update={"limit": limit, "max_failure_rate": 1.0})
    for answer in (None, broken()):
        labels = compare(items, answer, config, total=total)
        assert len(labels) == 2 * min(limit or 5, 5) and {label.sampling_prob for label in labels} == {share}


def test_ratings_are_on_the_rubrics_scale(rubric, texts):
    answer = always(**{"1": 0.1, "2": 0.1, "3": 0.2, "4": 0.3, "5": 0.3})
    judge = Judge(FakeBackend(answer), RatingV1(), rubric)
    _, *ratings = judge_ratings([texts()], judge, CONFIG, already={(texts().response.id, "wit", 0)})
    assert [rating.criterion for rating in ratings] == ["clarity"]
    assert ratings[0].value == pytest.approx(6.5)
    assert ratings[0].scale == (0.0, 10.0)
    assert ratings[0].rubric_version == "1"


def test_a_rating_names_what_fell_outside_the_labels_who_answered_and_how_long_it_took(rubric, texts):
    def rated(**fields):
        shares = {"1": 0.1, "2": 0.1, "3": 0.2, "4": 0.3, "5": 0.1}
        told = Completion({label: log(share) for label, share in shares.items()}, served="model-7", **fields)
        judge = Judge(FakeBackend(lambda _: told), RatingV1(), rubric)
        return list(judge_ratings([texts()], judge, CONFIG))[1:]

    first = rated(tokens=7, seconds=0.5)
    for rating in first:
        assert rating.metadata == {"mass_outside": pytest.approx(0.2), "served": "model-7"}
        assert rating.seconds == 0.5
    # What it took is no part of what was said.
    assert [each.id for each in rated(tokens=9, seconds=0.25)] == [each.id for each in first]


def test_a_rating_in_words_has_nothing_outside_and_a_failed_one_took_time_too(rubric, texts):
    words = FakeBackend(lambda _: Completion(reply='{"reason": "Clear.", "rating": 4}', seconds=0.5))
    _, *ratings = judge_ratings([texts()], Judge(words, RatingJsonV1(), rubric), CONFIG)
    assert [(each.metadata, each.seconds) for each in ratings] == [({"mass_outside": 0.0}, 0.5)] * 2
    config = CONFIG.model_copy(update={"max_failure_rate": 1.0})
    silent = FakeBackend(lambda _: Completion(failure="out of order", seconds=2.0))
    _, *failed = judge_ratings([texts()], Judge(silent, RatingV1(), rubric), config)
    assert [(each.status, each.metadata, each.seconds) for each in failed] == [("failed", {}, 2.0)] * 2


def test_a_failed_rating_has_no_value(rubric, texts):
    judge = Judge(FakeBackend(broken()), RatingV1(), rubric)
    stream = judge_ratings([texts()], judge, CONFIG.model_copy(update={"max_failure_rate": 1.0}))
    _, *ratings = stream
    assert {(r.status, r.value, r.reason) for r in ratings} == {("failed", None, "out of order")}


def test_the_estimate_counts_what_is_left(rubric, texts):
    items = [texts(prompt=f"{n}") for n in range(300)]
    done = {(items[0].comparison.id, "ab", 0), (items[1].comparison.id, "ab", 0), (items[1].comparison.id, "ba", 0)}
    judge = Judge(FakeBackend(), PairwiseV1(), rubric)
    estimate = estimate_comparisons(items, judge, CONFIG, already=done)
    words = FakeBackend().count_tokens(PairwiseV1().render(items[0], rubric, "ab"))
    assert (estimate.items, estimate.requests, estimate.tokens) == (299, 597, 597 * words)
    ratings = estimate_ratings(items, Judge(FakeBackend(), RatingV1(), rubric), CONFIG)
    assert (ratings.items, ratings.requests) == (300, 600)
    assert estimate_comparisons([], judge, CONFIG).tokens == 0


def test_the_annotator_is_what_can_change_an_answer(rubric):
    judge = Judge(FakeBackend(), PairwiseV1(), rubric)
    annotator = judge.annotator
    assert annotator.name == "fake/pairwise.v1/plain"
    assert annotator.prompt_hash == PairwiseV1().prompt_hash
    reworded = rubric.model_copy(update={"description": "Which is worse?"})
    others = [
        Judge(FakeBackend(max_tokens=10), PairwiseV1(), rubric),
        Judge(FakeBackend(), PairwiseV1(), reworded),
        Judge(FakeBackend(), RatingV1(), rubric),
    ]
    assert len({annotator.id, *(other.annotator.id for other in others)}) == 4


def test_judges_open_from_a_config():
    judges = open_judges(JudgeConfig(backend="fake", rubric="poem", rating_protocol="rating.v1"))
    assert judges.pairs.rubric.name == "poem"
    assert judges.ratings is not None
    assert judges.ratings.backend is judges.pairs.backend
    assert open_judges(CONFIG).ratings is None


def test_too_long_for_the_fake_is_a_failure_too(rubric, texts):
    backend = FakeBackend(max_tokens=3)
    completion = backend.complete([PairwiseV1().render(texts(), rubric, "ab")])[0]
    assert "max_tokens" in completion.failure


def test_what_code_decides_is_rated_without_a_question(rubric, texts):
    checked = {"name": "length", "description": "It is short.", "check": {"name": "words", "most": 3}}
    hybrid = Rubric.model_validate({**rubric.model_dump(), "criteria": [*rubric.model_dump()["criteria"], checked]})
    items, backend = [texts(first="A cat sat there long ago."), texts(first="A cat.")], FakeBackend()
    judge = Judge(backend, RatingV1(), hybrid)
    already = {(items[1].response.id, "wit", 0)}
    estimate = estimate_ratings(items, judge, CONFIG, already=already)
    assert (estimate.requests, estimate.checked) == (3, 2)
    _, *ratings = judge_ratings(items, judge, CONFIG, already=already)
    assert len(ratings) == 5 and len(backend.seen) == 3
    found = {each.response_id: each for each in ratings if each.criterion == "length"}
    expected = {each.response.id: 10.0 if len(each.response.text.split()) <= 3 else 0.0 for each in items}
    assert {response: each.value for response, each in found.items()} == expected
    assert all(each.metadata == {"checked": "words"} and each.scale == (0, 10) for each in found.values())
    # Nothing is left to ask, and what is left to check is checked.
    rest = {(each.response.id, name, 0) for each in items for name in ("wit", "clarity")}
    _, *ratings = judge_ratings(items, judge, CONFIG, already=rest)
    assert [each.criterion for each in ratings] == ["length"] * 2


def test_a_criterion_that_does_not_apply_is_no_rating(rubric, texts):
    judge = Judge(
        FakeBackend(always(**{"1": 0.1, "2": 0.1, "3": 0.1, "4": 0.05, "5": 0.05, "0": 0.5})), RatingV2(), rubric
    )
    _, *ratings = judge_ratings([texts()], judge, CONFIG)
    assert [(each.status, each.value, each.reason) for each in ratings] == [
        ("abstained", None, "the criterion does not apply")
    ] * 2
    sure = Judge(
        FakeBackend(always(**{"1": 0.0001, "2": 0.0001, "3": 0.1, "4": 0.3, "5": 0.2, "0": 0.3})), RatingV2(), rubric
    )
    _, *ratings = judge_ratings([texts()], sure, CONFIG)
    assert ratings[0].value == pytest.approx(10 * ((0.1 * 3 + 0.3 * 4 + 0.2 * 5) / 0.6 - 1) / 4, abs=0.02)
