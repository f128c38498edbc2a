"""Reliability and the judges' weight: by hand, by simulation, and from the train split alone."""

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from rewardkit.aggregation.anchor import PRIOR_PAIRS, Case, human_reliability, judge_weight, mean_interval, vote_logit
from rewardkit.aggregation.splits import Placement
from rewardkit.aggregation.votes import JudgeOpinion, Tally, Vote


def _case(votes=(), logit=None, unit="u", split="train"):
    judges = () if logit is None else (JudgeOpinion(logit),)
    return Case(Tally(tuple(Vote(v) for v in votes), judges), Placement(unit, split))


def test_without_overlap_the_prior_stands():
    got = human_reliability([_case([1.0]), _case([0.0])], 0.8)
    assert (got.value, got.agreement, got.pairs) == (pytest.approx(0.8), None, 0)
    assert got.logit == pytest.approx(math.log(4))


def test_agreement_by_hand():
    # a a b: one pair of three agrees; a tie takes no side; b b: one of one. Two of four.
    got = human_reliability([_case([1.0, 1.0, 0.0, 0.5]), _case([0.0, 0.0])], 0.8)
    shrunk = (2 + PRIOR_PAIRS * 0.68) / (4 + PRIOR_PAIRS)
    assert (got.agreement, got.pairs) == (0.5, 4)
    assert got.value == pytest.approx((1 + math.sqrt(2 * shrunk - 1)) / 2)


def test_a_known_reliability_is_recovered():
    rng, cases = np.random.default_rng(0), []
    for _ in range(3000):
        truth = rng.integers(2)
        cases.append(_case([float(truth if rng.random() < 0.72 else 1 - truth) for _ in range(3)]))
    assert human_reliability(cases, 0.9).value == pytest.approx(0.72, abs=0.015)


def test_no_amount_of_agreement_makes_a_vote_infinite():
    got = human_reliability([_case([1.0] * 10)] * 1000, 0.8)
    assert got.value == 0.99
    assert human_reliability([_case([1.0, 0.0])] * 1000, 0.8).value == 0.5


def _drawn(n=600, t=0.4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    votes = (rng.random((n, 2)) < expit(t * logits)[:, None]).astype(float)
    return [_case(v, x, unit=str(i)) for i, (v, x) in enumerate(zip(votes, logits, strict=True))]


def test_the_weight_agrees_with_logistic_regression():
    cases = _drawn()
    x = np.repeat([case.tally.judge_logit for case in cases], 2)[:, None]
    y = [vote.value for case in cases for vote in case.tally.votes]
    oracle = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(x, y).coef_[0, 0]
    got = judge_weight(cases)
    # The one pseudo-vote is all that separates them.
    assert got.value == pytest.approx(oracle, rel=0.01)
    assert got.value == pytest.approx(0.4, abs=0.1)
    assert got.estimate.low < got.value < got.estimate.high and got.note == ""
    assert (got.estimate.n, got.estimate.n_units) == (600, 600)


def test_the_weights_interval_covers():
    hits = sum(e.low <= 0.4 <= e.high for e in (judge_weight(_drawn(n=150, seed=seed)).estimate for seed in range(300)))
    assert 0.91 <= hits / 300 <= 0.985


def test_judges_that_contradict_the_humans_get_no_weight():
    got = judge_weight(_drawn(t=-0.4))
    assert got.value == 0.0 and got.estimate.value < 0 and "not used" in got.note


def test_judges_that_may_not_help_are_said_to_be_so():
    # Five votes of eight on the judge's side, each its own unit: far from certain.
    got = judge_weight([_case([float(i < 5)], 1.0, unit=str(i)) for i in range(8)])
    assert got.value > 0 and got.estimate.low < 0 and "includes 0" in got.note


def test_judges_that_are_never_wrong_keep_a_finite_weight():
    got = judge_weight([_case([1.0], 2.0, "u"), _case([0.0], -2.0, "v")])
    # Three votes at |logit| 2, two and a half of them with the judges: sigmoid(2t) = 5/6.
    assert got.value == pytest.approx(math.log(5) / 2)


def test_nothing_to_anchor_to():
    assert judge_weight([_case([], 2.0), _case([1.0])]).value == 0.0
    assert "no train comparison" in judge_weight([_case([], 2.0)]).note
    assert "prefer nothing" in judge_weight([_case([1.0], 0.0)]).note
    one = judge_weight([_case([1.0], 1.0), _case([1.0], 2.0)])
    assert one.estimate.low is None and one.value > 0


@pytest.mark.parametrize("split", ["validation", "calibration", "test"])
def test_only_train_is_learnt_from(split):
    train = _drawn(n=60)
    held_out = [_case([0.0, 0.0, 1.0], 5.0, unit=f"h{i}", split=split) for i in range(200)]
    assert judge_weight(train + held_out) == judge_weight(train)
    assert human_reliability(train + held_out, 0.8) == human_reliability(train, 0.8)


def test_what_a_vote_adds():
    reliability = human_reliability([], 0.8)
    assert vote_logit(Vote(1.0), reliability, 0.0) == pytest.approx(math.log(4))
    assert vote_logit(Vote(0.0, 3.0), reliability, 0.0) == pytest.approx(-math.log(4))
    assert vote_logit(Vote(0.0, 3.0), reliability, 0.5) == pytest.approx(-1.5)
    assert vote_logit(Vote(1.0), reliability, 0.5) == pytest.approx(math.log(4))
    assert vote_logit(Vote(0.5, 3.0), reliability, 0.5) == 0.0
    assert vote_logit(Vote(1.0, 1e308), reliability, 10.0) == 20.0


def test_mean_interval_by_hand():
    assert mean_interval([], []) is None
    got = mean_interval([1.0, 1.0, 3.0, 3.0], ["u", "u", "v", "v"])
    assert (got.value, got.high) == pytest.approx((2.0, 2 + 12.7062), abs=1e-3)
