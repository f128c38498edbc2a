"""Clustered intervals: by hand, against scipy, and by simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from rewardkit.calibration.estimates import clustered_mean
from rewardkit.errors import DataError


def test_singleton_units_give_the_ordinary_t_interval():
    values = [1.0, 4.0, 2.0, 7.0]
    got = clustered_mean(values, ["u", "v", "w", "x"])
    low, high = stats.t.interval(0.95, 3, loc=3.5, scale=stats.sem(values))
    assert (got.value, got.n, got.n_units) == (3.5, 4, 4)
    assert (got.low, got.high) == pytest.approx((low, high))


def test_clusters_by_hand():
    # Two units with sums of deviations -2 and +2, n = 4: variance 2/1 · (4 + 4)/16 = 1, t(1, .975) = 12.706.
    got = clustered_mean([1.0, 1.0, 3.0, 3.0], ["u", "u", "v", "v"])
    assert (got.low, got.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


def test_unequal_clusters_by_hand():
    # Mean 2 over n = 3; deviations sum to -1, -1 in u (-2) and 2 in v: variance 2/1 · (4 + 4)/9 = 16/9.
    got = clustered_mean([1.0, 1.0, 4.0], ["u", "u", "v"])
    assert got.high - got.value == pytest.approx(12.7062 * 4 / 3, abs=1e-3)


def test_a_rate_uses_the_logit():
    # Rate 3/4 over 4 units: se 0.25, on the logit 0.25/(.75·.25) = 4/3, t(3, .975) = 3.18245.
    got = clustered_mean([1.0, 1.0, 1.0, 0.0], list("uvwx"), rate=True)
    centre, half = math.log(3), 3.18245 * 4 / 3
    assert got.low == pytest.approx(1 / (1 + math.exp(-(centre - half))), abs=1e-5)
    assert got.high == pytest.approx(1 / (1 + math.exp(-(centre + half))), abs=1e-5)


def test_many_units_in_the_middle_use_plain_t():
    values = np.tile([1.0, 0.0], 100)
    got = clustered_mean(values, [str(i) for i in range(200)], rate=True)
    half = stats.t.ppf(0.975, 199) * stats.sem(values)
    assert (got.low, got.high) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.025 ** (1 / 5), 1.0), (0.0, 0.0, 1 - 0.025 ** (1 / 5))])
def test_a_certain_rate_is_bounded_by_its_units(value, low, high):
    got = clustered_mean([value] * 10, [str(i // 2) for i in range(10)], rate=True)
    assert (got.value, got.low, got.high) == pytest.approx((value, low, high))


def test_units_that_agree_on_a_rate_still_leave_it_open():
    got = clustered_mean([1.0, 0.0] * 4, [str(i // 2) for i in range(8)], rate=True)
    exact = stats.binomtest(2, 4).proportion_ci(0.95, method="exact")
    assert (got.low, got.high) == pytest.approx((exact.low, exact.high))


def test_one_unit_says_nothing_about_others():
    rate, mean = (clustered_mean([1.0, 0.0], ["u", "u"], rate=r) for r in (True, False))
    assert (rate.low, rate.high) == (0.0, 1.0)
    assert (mean.low, mean.high) == (-math.inf, math.inf)
    assert mean.to_json()["low"] is None


@pytest.mark.parametrize(("values", "units"), [([], []), ([1.0], ["u", "v"]), ([math.nan], ["u"])])
def test_bad_values_are_refused(values, units):
    with pytest.raises(DataError):
        clustered_mean(values, units)


def _clustered_draws(rng, units, per_unit, rate):
    """Outcomes of units whose own rates scatter widely (intra-unit correlation 0.25)."""
    size = 3.0
    own = rng.beta(rate * size, (1 - rate) * size, units)
    return (rng.random((units, per_unit)) < own[:, None]).astype(float)


@pytest.mark.parametrize(("units", "per_unit", "rate"), [(40, 5, 0.7), (40, 5, 0.9), (200, 4, 0.6), (25, 1, 0.85)])
def test_coverage_on_clustered_data(units, per_unit, rate):
    rng = np.random.default_rng(7)
    names = [str(i // per_unit) for i in range(units * per_unit)]
    hits = naive = 0
    runs = 1500
    for _ in range(runs):
        values = _clustered_draws(rng, units, per_unit, rate).ravel()
        got = clustered_mean(values, names, rate=True)
        hits += got.low <= rate <= got.high
        half = 1.96 * values.std() / math.sqrt(len(values))
        naive += abs(values.mean() - rate) <= half
    assert 0.93 <= hits / runs <= 0.975
    if per_unit > 1:
        assert naive / runs < 0.88
