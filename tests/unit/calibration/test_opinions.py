from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from rewardkit.calibration.opinions import OpinionModel, fit_opinions
from rewardkit.errors import DataError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 2)) * [1.0, 4.0]
Y = (RNG.random(300) < 1 / (1 + np.exp(-(0.8 * X[:, 0] + 0.3 * X[:, 1])))).astype(float)


def test_it_finds_what_an_independent_library_finds():
    scale = np.sqrt(np.square(X).mean(axis=0))
    oracle = LogisticRegression(C=1 / 5.0, fit_intercept=False, tol=1e-10).fit(X / scale, Y)
    assert fit_opinions(X, Y).weights == pytest.approx(oracle.coef_[0] / scale, abs=1e-5)


def test_shares_of_people_count_as_so_many_votes():
    votes = fit_opinions(np.repeat(X, 2, axis=0), np.repeat(Y, 2) * np.tile([1.0, 0.0], 300), ridge=2.0)
    shares = fit_opinions(X, Y / 2, ridge=1.0)
    assert votes.weights == pytest.approx(shares.weights, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=5))
def test_swapping_the_responses_turns_the_probability_round(rows):
    model = fit_opinions(X, Y)
    assert model.p_a(rows) == pytest.approx(1 - model.p_a(-np.array(rows)))
    turned = fit_opinions(-X, 1 - Y)
    assert turned.weights == pytest.approx(model.weights, abs=1e-6)


def test_what_a_judge_did_not_answer_is_left_out_and_has_no_probability():
    holes = X.copy()
    holes[::3, 1] = math.nan
    model = fit_opinions(holes, Y)
    kept = np.isfinite(holes).all(axis=1)
    assert model.weights == pytest.approx(fit_opinions(X[kept], Y[kept]).weights)
    assert model.n == 200
    assert np.isnan(model.p_a([[1.0, math.nan]])[0])


def test_a_judge_that_says_nothing_gets_no_weight():
    assert fit_opinions(np.column_stack([X[:, 0], np.zeros(300)]), Y).weights[1] == 0


@pytest.mark.parametrize(("features", "shares"), [(X, Y[:5]), (X[:, 0], Y), (X, Y + 1)])
def test_what_does_not_fit_is_refused(features, shares):
    with pytest.raises(DataError, match="features"):
        fit_opinions(features, shares)
    with pytest.raises(DataError, match="no comparison has both"):
        fit_opinions([[math.nan]], [1.0])


def test_a_model_is_its_weights():
    assert OpinionModel(np.array([2.0]), 1).p_a([[0.5]])[0] == pytest.approx(1 / (1 + math.exp(-1)))
