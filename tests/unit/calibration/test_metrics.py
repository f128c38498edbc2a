"""Metrics against scikit-learn, by hand, and under turning comparisons round."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from rewardkit.calibration.evaluation import measure, paired_difference
from rewardkit.calibration.metrics import auroc, correct_terms
from rewardkit.errors import DataError

RNG = np.random.default_rng(3)
P = RNG.uniform(0.02, 0.98, 300)
HARD = (RNG.random(300) < P).astype(float)
UNITS = [str(i // 3) for i in range(300)]


def test_hard_labels_agree_with_scikit_learn():
    got = measure(P, HARD, units=UNITS)
    assert got.log_loss.value == pytest.approx(oracle.log_loss(HARD, P))
    assert got.brier.value == pytest.approx(oracle.brier_score_loss(HARD, P))
    assert got.accuracy.value == pytest.approx(oracle.accuracy_score(HARD, P > 0.5))
    both = np.concatenate([P, 1 - P]), np.concatenate([HARD, 1 - HARD])
    assert got.auroc.value == pytest.approx(oracle.roc_auc_score(both[1], both[0]))
    assert (got.n, got.n_units, got.n_ties) == (300, 100, 0)


def test_soft_labels_by_hand():
    got = measure([0.8, 0.5], [2 / 3, 0.0], units=["u", "v"])
    assert got.log_loss.value == pytest.approx((-(2 / 3) * math.log(0.8) - (1 / 3) * math.log(0.2) + math.log(2)) / 2)
    assert got.brier.value == pytest.approx(((0.8 - 2 / 3) ** 2 + 0.25) / 2)


def test_accuracy_counts_a_margin_of_zero_half_and_leaves_human_ties_out():
    # right, wrong, undecided model, human tie
    p, human = [0.9, 0.9, 0.5, 0.9], [1.0, 0.0, 1.0, 0.5]
    assert correct_terms(np.array(p), np.array(human)).tolist() == [1.0, 0.0, 0.5]
    got = measure(p, human, units=list("uvwx"))
    assert (got.accuracy.value, got.accuracy.n, got.n_ties) == (0.5, 3, 1)


def test_auroc_by_hand():
    # Signed confidences .4, -.2, .1. Sums over ordered pairs, own pair included:
    # (.8, .2, .5), (.2, -.4, -.1), (.5, -.1, .2): 6 of 9 above 0.
    p, human = np.array([0.9, 0.7, 0.4]), np.array([1.0, 0.0, 0.0])
    assert auroc(p, human, list("uvw"), 0.95).value == pytest.approx(6 / 9)


def test_auroc_interval_covers():
    rng, hits, runs = np.random.default_rng(1), 0, 400
    big = rng.normal(1.0, 1.5, 200_000)
    truth = np.mean(big[:100_000] + big[100_000:] > 0)
    for _ in range(runs):
        signed = rng.normal(1.0, 1.5, 120)
        got = auroc(0.5 + np.arctan(signed) / math.pi, np.ones(120), [str(i) for i in range(120)], 0.95)
        hits += got.low <= truth <= got.high
    assert 0.92 <= hits / runs <= 0.98


def test_only_ties_leave_no_accuracy():
    got = measure([0.7, 0.4], [0.5, 0.5], units=["u", "v"])
    assert got.accuracy is None and got.auroc is None and got.n_ties == 2
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["accuracy"] is None


def test_certain_predictions_stay_finite():
    got = measure([0.0, 1.0], [1.0, 1.0], units=["u", "v"])
    assert math.isfinite(got.log_loss.value)
    json.dumps(measure([1.0], [1.0], units=["u"]).to_json(), allow_nan=False)


@given(
    data=st.data(),
    p=hnp.arrays(np.float64, 40, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]))),
    human=hnp.arrays(np.float64, 40, elements=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0])),
)
@settings(max_examples=40, deadline=None)
def test_turning_any_comparisons_round_changes_nothing(data, p, human):
    p = np.round(p, 6)
    turn = data.draw(hnp.arrays(np.bool_, 40))
    units = [str(i // 2) for i in range(40)]
    before = measure(p, human, units=units).to_json()
    after = measure(np.where(turn, 1 - p, p), np.where(turn, 1 - human, human), units=units).to_json()
    for name in ("accuracy", "log_loss", "brier", "auroc"):
        if before[name]:
            assert after[name] == pytest.approx(before[name], abs=1e-9)
    assert after["ece"] == pytest.approx(before["ece"], abs=1e-7)


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_auroc_does_not_know_which_is_a(data, seed):
    rng = np.random.default_rng(seed)
    p, human = rng.random(30), rng.integers(0, 4, 30) / 3
    turn = data.draw(hnp.arrays(np.bool_, 30))
    units = [str(i) for i in range(30)]
    before = auroc(p, human, units, 0.95)
    after = auroc(np.where(turn, 1 - p, p), np.where(turn, 1 - human, human), units, 0.95)
    assert after.to_json() == pytest.approx(before.to_json(), abs=1e-9)


@pytest.mark.parametrize(
    ("p", "human", "units"),
    [
        ([], [], []),
        ([0.5], [0.5, 0.5], ["u"]),
        ([1.5], [0.5], ["u"]),
        ([math.nan], [0.5], ["u"]),
        ([0.5], [math.nan], ["u"]),
        ([0.5], [1.0], []),
    ],
)
def test_bad_input_is_refused(p, human, units):
    with pytest.raises(DataError):
        measure(p, human, units=units)


def test_paired_difference_by_hand():
    # Differences 1, 0, 0, 1: mean .5, se = sd/2 = .57735/2, t(3) = 3.18245.
    got = paired_difference([1, 1, 0, 1], [0, 1, 0, 0], list("uvwx"))
    assert (got.value, got.high) == pytest.approx((0.5, 0.5 + 3.18245 * 0.288675), abs=1e-4)
    with pytest.raises(DataError):
        paired_difference([1], [1, 0], ["u"])
