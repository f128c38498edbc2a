"""A preference that may be none: ties, and two bad responses."""

from __future__ import annotations

from math import inf, log

import pytest

from rewardkit.judge.contract import Completion, Failure, PairVerdict
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge.ties import PairwiseV2
from rewardkit.judge_config import JudgeConfig

PROTOCOL = PairwiseV2()


def answer(**shares):
    return Completion({label: log(share) for label, share in shares.items()})


def test_half_of_what_says_neither_counts_for_each_side():
    # Of .8 in the labels: A 3/8, B 1/8, T 3/8, N 1/8; A and half of T and N are 3/8 + 2/8.
    verdict = PROTOCOL.parse(answer(A=0.3, B=0.1, T=0.3, N=0.1))
    assert verdict.p_first == pytest.approx(5 / 8)
    assert (verdict.p_tie, verdict.p_both_bad) == (pytest.approx(3 / 8), pytest.approx(1 / 8))
    assert verdict.mass_outside == pytest.approx(0.2)


def test_a_label_that_is_not_told_of_counts_with_its_bound_or_spoils_the_verdict():
    told = {"A": log(0.6), "B": log(0.2), "T": log(0.19)}
    verdict = PROTOCOL.parse(Completion(told, bounds={"N": log(0.01)}))
    assert verdict.p_both_bad == pytest.approx(0.01)
    assert isinstance(PROTOCOL.parse(Completion(told, bounds={"N": log(0.1)})), Failure)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        # A, B, T, N: two ways to say neither are two answers, however much they hold together.
        ((0.4, 0.1, 0.25, 0.25), "first"),
        ((0.1, 0.4, 0.25, 0.25), "second"),
        ((0.1, 0.35, 0.4, 0.15), "tie"),
        ((0.25, 0.1, 0.3, 0.35), "both_bad"),
        ((0.5, 0.0, 0.5, 0.0), "first"),
        ((0.5, 0.5, 0.0, 0.0), "tie"),
        ((0.0, 0.0, 0.5, 0.5), "tie"),
    ],
)
def test_a_verdict_says_the_most_probable_answer_and_votes_and_labels_say_the_same(texts, rubric, shares, said):
    a, _, tie, both_bad = shares
    verdict = PairVerdict(a + (tie + both_bad) / 2, 0.0, p_tie=tie, p_both_bad=both_bad)
    assert verdict.said == said
    share_of = dict(zip(PROTOCOL.labels, shares, strict=True))
    backend = FakeBackend(lambda _: Completion({each: log(p) if p else -inf for each, p in share_of.items()}))
    _, *labels = judge_comparisons([texts()], Judge(backend, PROTOCOL, rubric), JudgeConfig(backend="fake"))
    of_a = {"ab": {"first": "a", "second": "b"}, "ba": {"first": "b", "second": "a"}}
    assert {each.order_shown: each.choice for each in labels} == {o: to.get(said, said) for o, to in of_a.items()}


@pytest.mark.parametrize(
    ("shares", "choices"),
    [
        ({"A": 0.4, "B": 0.1, "T": 0.3, "N": 0.1}, {"ab": "a", "ba": "b"}),
        ({"A": 0.3, "B": 0.2, "T": 0.4, "N": 0.1}, {"ab": "tie", "ba": "tie"}),
        ({"A": 0.3, "B": 0.1, "T": 0.1, "N": 0.4}, {"ab": "both_bad", "ba": "both_bad"}),
    ],
)
def test_the_label_is_the_most_probable_answer_in_the_comparisons_frame(texts, rubric, shares, choices):
    judge = Judge(FakeBackend(lambda _: answer(**shares)), PROTOCOL, rubric)
    _, *labels = judge_comparisons([texts()], judge, JudgeConfig(backend="fake"))
    assert {label.order_shown: label.choice for label in labels} == choices
    whole = sum(shares.values())
    assert all(label.metadata["p_tie"] == pytest.approx(shares["T"] / whole) for label in labels)
    assert labels[0].p_a == pytest.approx(1.0 - labels[1].p_a)
