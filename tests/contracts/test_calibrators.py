"""What every registered calibrator must do."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from rewardkit.calibration.calibrators import CALIBRATORS
from rewardkit.errors import DataError
from rewardkit.registry import registered

KNOWN = registered("calibrators", CALIBRATORS)
NAMES = sorted(KNOWN)


def _fitted(name, seed=0):
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 3, 300)
    p_a = rng.binomial(3, expit(margins / 1.7)) / 3
    return KNOWN[name]().fit(margins, p_a, np.ones(300))


@pytest.mark.parametrize("name", NAMES)
@given(margins=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_swapping_the_responses_turns_p_a_round(name, margins):
    fitted = _fitted(name)
    p = fitted.predict_proba(np.array(margins))
    assert p.shape == (len(margins),) and ((p >= 0) & (p <= 1)).all()
    assert fitted.predict_proba(-np.array(margins)) == pytest.approx(1 - p, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_on_swapped_comparisons_changes_nothing(name):
    rng = np.random.default_rng(1)
    margins, p_a, turn = rng.normal(0, 3, 200), rng.integers(0, 4, 200) / 3, rng.random(200) < 0.5
    plain = KNOWN[name]().fit(margins, p_a)
    turned = KNOWN[name]().fit(np.where(turn, -margins, margins), np.where(turn, 1 - p_a, p_a))
    at = np.linspace(-5, 5, 11)
    assert turned.predict_proba(at) == pytest.approx(plain.predict_proba(at), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_monotone_and_helps(name):
    fitted = _fitted(name)
    assert (np.diff(fitted.predict_proba(np.linspace(-10, 10, 101))) >= 0).all()
    rng = np.random.default_rng(2)
    margins = rng.normal(0, 3, 2000)
    y = (rng.random(2000) < expit(margins / 1.7)).astype(float)

    def loss(p):
        return float(-np.log(np.where(y > 0.5, p, 1 - p)).mean())

    assert loss(fitted.predict_proba(margins)) < loss(expit(margins))


@pytest.mark.parametrize("name", NAMES)
def test_params_are_json_and_build_it_again(name):
    fitted = _fitted(name)
    params = json.loads(json.dumps(fitted.params(), allow_nan=False))
    again = KNOWN[name].from_params(params)
    at = np.linspace(-5, 5, 11)
    assert again.predict_proba(at) == pytest.approx(fitted.predict_proba(at))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("margins", "p_a"), [([1.0], [1.0]), ([0.0, 0.0], [1.0, 0.0]), ([1.0, 2.0], [1.0])])
def test_data_that_cannot_be_fitted_is_refused(name, margins, p_a):
    with pytest.raises(DataError):
        KNOWN[name]().fit(margins, p_a)


@pytest.mark.parametrize("name", NAMES)
def test_its_interval_holds_its_estimate(name):
    interval = _fitted(name).interval([str(i // 3) for i in range(300)], 0.95)
    assert interval is None or (np.isfinite(interval).all() and interval[0] < interval[1])
