"""Order, length, family, repeats and probabilities: judges whose lean is known."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from rewardkit.audit.biases import length_slope, self_preference
from rewardkit.audit.cases import PairCase, RatingCase, Verdict
from rewardkit.audit.judges import audit_pairs, honesty
from rewardkit.audit.positions import position
from rewardkit.audit.ratings import rank_agreements
from rewardkit.audit.repeats import rating_retest, retest
from rewardkit.audit.results import Level
from rewardkit.families import family_of, matches

MADE = runpy.run_path(str(Path(__file__).parents[2] / "audited.py"))
pair, vote = MADE["pair"], MADE["vote"]
LEVEL = Level(resamples=100)


def value(finding):
    return finding.estimate.value


def test_a_judge_that_says_the_first_is_never_consistent():
    cases = [pair({"ab": 1.0, "ba": 0.0}, [float(i % 2)], unit=f"u{i}") for i in range(12)]
    found = audit_pairs(cases, None, LEVEL)
    assert value(found.position.consistency) == 0 and value(found.position.prefers_first) == 1
    assert value(found.position.residual) == pytest.approx(math.log(0.98 / 0.02))
    assert value(found.overall.accuracy) == 0.5 and value(found.overall.ties_judge) == 1
    assert value(next(rival for rival in found.rivals if rival.name == "always the first shown").lead) == 0


def test_averaging_both_orders_takes_a_lean_out():
    """A judge that knows the better one by 1 logit, and leans to the first by 2."""
    better = [1.0, 0.0] * 10
    cases = [
        pair({"ab": expit(2 * b - 1 + 2), "ba": expit(2 * b - 1 - 2)}, [b], unit=f"u{i}") for i, b in enumerate(better)
    ]
    found = position(cases, LEVEL)
    assert value(found.one_order) == 0.5 and value(found.averaged) == 1 and value(found.gain) == 0.5
    assert value(found.residual) == pytest.approx(2) and value(found.a_first) == 0.5
    # Where A is better it is right if A is first, where B is better if B is: each order is right on half.
    assert found.gain.note == "" and found.gain.estimate.n == 20


def test_the_order_by_hand():
    # Stays; changes; a tie in one order only; judged in one order.
    said = [{"ab": 1.0, "ba": 1.0}, {"ab": 1.0, "ba": 0.0}, {"ab": 0.5, "ba": 0.0}, {"ab": 1.0}]
    found = position([pair(each, [1.0], unit=f"u{i}") for i, each in enumerate(said)], LEVEL)
    assert value(found.consistency) == 1 / 3 and found.consistency.estimate.n == 3
    # For the first: one of two, two of two, one half and one.
    assert value(found.prefers_first) == pytest.approx((0.5 + 1 + 0.75) / 3)
    assert "0 by definition" in found.gain.note and value(found.gain) == 0


def test_one_order_alone_still_shows_a_lean():
    found = position([pair({"ab": 1.0}, unit="x"), pair({"ba": 0.0}, unit="y"), pair({"ba": 1.0}, unit="z")], LEVEL)
    assert value(found.prefers_first) == pytest.approx(2 / 3) and "one order" in found.prefers_first.note
    assert found.consistency.estimate is None and "(n = 3)" in found.consistency.note


def test_the_slope_of_length_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    judge, people = (rng.random(2000) < expit(slope * x) for slope in (1.5, 0.5))
    cases = [
        pair(float(j), [float(p)], unit=f"u{i}", doublings=d)
        for i, (d, j, p) in enumerate(zip(x, judge, people, strict=True))
    ]
    found = length_slope(cases, LEVEL)
    for finding, choice in ((found.judge, judge), (found.people, people)):
        oracle = LogisticRegression(C=np.inf, fit_intercept=False).fit(x[:, None], choice).coef_[0, 0]
        assert value(finding) == pytest.approx(oracle, rel=0.005)
    assert value(found.difference) == pytest.approx(value(found.judge) - value(found.people))
    known = found.difference.estimate
    # The standard error of a slope is 1 / √(Σ p (1 − p) x²); the two are independent.
    errors = [1 / np.sqrt((expit(s * x) * expit(-s * x) * x**2).sum()) for s in (1.5, 0.5)]
    assert known.high - known.value == pytest.approx(1.96 * math.hypot(*errors), rel=0.05) and known.low > 0.7


def test_a_judge_that_always_takes_the_longer_has_a_slope():
    cases = [pair(float(i % 2), [float(i % 2)], unit=f"u{i}", doublings=2.0 * (i % 2) - 1) for i in range(40)]
    found = length_slope(cases, LEVEL)
    assert 3 < value(found.judge) < 10 and value(found.difference) == 0
    level = length_slope([pair(1.0, [1.0])], LEVEL)
    assert "equally long" in level.judge.note


def test_its_own_family_by_hand():
    # The judge's family wrote A, B, both, none; people prefer A, A, A, A, the judge A, B, A, A.
    writers = [("gpt", "llama"), ("llama", "gpt"), ("gpt", "gpt"), ("llama", None)]
    said = [1.0, 0.0, 1.0, 1.0]
    cases = [pair(s, [1.0], unit=f"u{i}", writers=w) for i, (s, w) in enumerate(zip(said, writers, strict=True))]
    found = self_preference(cases, "gpt", LEVEL)
    assert (value(found.judge), value(found.people), value(found.difference)) == (1.0, 0.5, 0.5)
    assert found.difference.estimate.n == 2
    for family, why in ((None, "names no model"), ("claude", "“claude”")):
        assert why in self_preference(cases, family, LEVEL).judge.note
    assert "no response names" in self_preference([pair(1.0, [1.0])], "gpt", LEVEL).judge.note


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt-4o", "gpt"),
        ("meta-llama/Llama-3-8B/", "llama"),
        ("GPT-4", "gpt"),
        ("ChatGPT", "gpt"),
        ("7b", "7b"),
        ("", None),
    ],
)
def test_families(name, family):
    assert family_of(name, {"gpt": ["ChatGPT*"]}) == family


def test_names_are_matched_whole_or_by_pattern():
    assert matches("GPT-4/Vanilla", ["gpt-4/vanilla"]) and matches("expert1", ["expert*"])
    assert not matches("expert1", ["expert"]) and matches("a[1]", ["a[1]"])


def again(*values):
    return tuple(Verdict(logit=4 * v - 2, value=v, order="ab", soft=True, chain="order ab") for v in values)


def test_asked_again_by_hand():
    # x: .9 .6 .2: one of three pairs is equal, distances .3 .7 .4. y: equal, .1. z: once.
    cases = [
        PairCase(unit, "", 0.0, (None, None), again(*v))
        for unit, v in zip("xyz", [(0.9, 0.6, 0.2), (0.9, 0.8), (1,)], strict=True)
    ]
    found = retest(cases, LEVEL)
    assert value(found.equal) == pytest.approx((1 / 3 + 1) / 2) and found.equal.estimate.n == 2
    assert value(found.distance) == pytest.approx((1.4 / 3 + 0.1) / 2)
    assert "twice" in retest(cases[2:], LEVEL).equal.note
    ratings = [RatingCase("x", (0.5, 0.75)), RatingCase("y", (1.0, 1.0))]
    rated = rating_retest(ratings, LEVEL)
    assert (value(rated.equal), value(rated.distance)) == (0.5, 0.125)


def test_words_are_no_probabilities():
    cases = [pair(1.0, [1.0], unit="x"), pair(0.7, [1.0], unit="y"), pair(0.8, [0.0], unit="z")]
    found = honesty(cases, LEVEL)
    assert found.measurement.n == found.reliability.n == 2 and "1 verdicts without" in found.note
    assert found.measurement.brier.value == pytest.approx((0.3**2 + 0.8**2) / 2)
    assert honesty(cases[:1], LEVEL).note.endswith("no probabilities (n = 1)")


def test_ratings_beside_one_person():
    """The judge ranks as the first person does and against the second."""
    cases = [RatingCase(f"u{i}", (i / 9,), (vote(i / 9, "one", "x"), vote(1 - i / 9, "two", "y"))) for i in range(10)]
    everyone, x, y = rank_agreements("fun", cases, LEVEL)
    assert everyone.judge.note.startswith("not measurable: one of the two gives every response")
    assert (value(x.judge), value(y.judge)) == (1, -1) and x.people.estimate is None and "(n = 10)" in x.people.note
    # Left out, each person meets the other, and so does the judge: −1 and, with both together, 0.
    assert value(everyone.people) == pytest.approx(-1) and value(everyone.judge_left_out) == pytest.approx(0, abs=1e-9)
    assert everyone.people.estimate.n == 20 and everyone.people.estimate.n_units == 10
