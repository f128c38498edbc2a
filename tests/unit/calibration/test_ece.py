"""The debiased calibration error: by hand, unbiased by simulation, and honest about its noise."""

import numpy as np
import pytest

from rewardkit.calibration import ece
from rewardkit.calibration.ece import equal_mass_bins, fold


def debiased_ece(p_a, human_p_a, units=None, **more):
    """Each comparison a unit of its own, unless units are given."""
    return ece.debiased_ece(p_a, human_p_a, units=units or [str(i) for i in range(len(p_a))], **more)


def test_equal_confidences_give_kumars_formula():
    # One bin: confidence .8 (two comparisons turned round), 3 of 4 right.
    # (.75 − .8)² − .75·.25/(4 − 1) = .0025 − .0625
    got = debiased_ece([0.8, 0.2, 0.8, 0.2], [1.0, 0.0, 0.0, 0.0], bins=1)
    assert got.squared == pytest.approx(0.0025 - 0.0625)
    assert got.value == 0.0


def test_two_bins_by_hand():
    # Confidence .6: 0 of 3 right, residual −.6, no spread. Confidence .9: 3 of 3, residual .1, no spread.
    got = debiased_ece([0.6, 0.6, 0.6, 0.9, 0.9, 0.9], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], bins=2)
    assert got.squared == pytest.approx((0.36 + 0.01) / 2)
    assert got.bins == 2


def test_a_single_comparison_has_the_variance_of_calibration():
    got = debiased_ece([0.7], [1.0])
    assert got.squared == pytest.approx(0.09 - 0.21)


def test_folding_looks_from_the_preferred_response():
    confidence, share = fold(np.array([0.2, 0.9, 0.5]), np.array([0.25, 1.0, 1.0]))
    assert confidence.tolist() == [0.8, 0.9, 0.5]
    assert share.tolist() == [0.75, 1.0, 0.5]


def test_bins_have_equal_mass_and_never_part_equals():
    assert np.bincount(equal_mass_bins(np.linspace(0.5, 1, 100), 4)).tolist() == [25, 25, 25, 25]
    tied = np.repeat([0.6, 0.8], [70, 30])
    assert np.bincount(equal_mass_bins(tied, 5)).tolist() == [70, 30]
    assert equal_mass_bins(np.array([0.7])).tolist() == [0]
    assert equal_mass_bins(np.linspace(0.5, 1, 1000)).max() == 14


def _plain(p, y, bins=15):
    """The textbook estimate: root of the mean squared gap over the same bins."""
    confidence, share = fold(p, y)
    index = equal_mass_bins(confidence, bins)
    count = np.bincount(index)
    return float((np.bincount(index, share - confidence) ** 2 / count).sum() / len(p))


@pytest.mark.slow
def test_unbiased_under_calibration_where_the_plain_one_is_not():
    rng, debiased, plain = np.random.default_rng(5), [], []
    for _ in range(300):
        p = rng.uniform(0.05, 0.95, 300)
        y = (rng.random(300) < p).astype(float)
        debiased.append(debiased_ece(p, y, bins=15).squared)
        plain.append(_plain(p, y))
    error = np.std(debiased) / np.sqrt(len(debiased))
    assert abs(np.mean(debiased)) < 3 * error
    assert np.mean(plain) > 20 * error


@pytest.mark.slow
def test_finds_the_true_error_of_an_overconfident_model():
    # Claims c with c − .1 true throughout: the L2 error is .1.
    rng, squares = np.random.default_rng(6), []
    for _ in range(200):
        p = rng.uniform(0.7, 0.95, 400)
        squares.append(debiased_ece(p, (rng.random(400) < p - 0.1).astype(float)).squared)
    assert np.mean(squares) == pytest.approx(0.01, abs=3 * np.std(squares) / np.sqrt(200))


@pytest.mark.slow
@pytest.mark.parametrize(("votes", "agreement"), [(1, 0.0), (3, 0.0), (3, 0.6)])
def test_a_calibrated_model_lies_in_its_band(votes, agreement):
    rng, inside, runs = np.random.default_rng(8), 0, 120
    for _ in range(runs):
        p = rng.uniform(0.1, 0.9, 250)
        size = 1 / agreement - 1 if agreement else 1e6
        own = rng.beta(p * size, (1 - p) * size)
        y = rng.binomial(votes, own) / votes
        got = debiased_ece(p, y)
        inside += got.value <= got.band_high
    assert 0.88 <= inside / runs <= 0.99


def clustered(rng, n_units=60, size=8):
    """A calibrated model on units whose comparisons mostly fall the same way: one draw decides most of a unit."""
    confidence = np.repeat(rng.uniform(0.52, 0.9, n_units), size)
    common = np.repeat(rng.random(n_units), size)
    own = rng.random(n_units * size)
    drawn = np.where(rng.random(n_units * size) < 0.7, common, own)
    return confidence, (drawn < confidence).astype(float), [f"u{i // size}" for i in range(n_units * size)]


@pytest.mark.slow
def test_what_moves_together_is_not_taken_for_miscalibration():
    rng, together, apart, inside, runs = np.random.default_rng(10), [], [], 0, 200
    for _ in range(runs):
        p, y, units = clustered(rng)
        got = debiased_ece(p, y, units)
        together.append(got.squared)
        apart.append(debiased_ece(p, y).squared)
        inside += got.value <= got.band_high
    error = np.std(together) / np.sqrt(runs)
    assert abs(np.mean(together)) < 3 * error
    assert np.mean(apart) > 10 * error
    assert 0.88 <= inside / runs <= 1.0


def test_two_units_in_a_bin_by_hand():
    # Confidence .8 throughout. Unit u: residuals .2, .2; unit v: −.8. Mean −.4/3; sums around it .4 + .8/3 and
    # −.8 + .4/3, which are ±2/3; variance 2 · 2 · (2/3)² / 3².
    got = debiased_ece([0.8] * 3, [1.0, 1.0, 0.0], ["u", "u", "v"])
    assert got.squared == pytest.approx((0.4 / 3) ** 2 - 4 * (2 / 3) ** 2 / 9)


def test_one_unit_alone_has_the_variance_of_one_that_goes_one_way():
    got = debiased_ece([0.7, 0.7], [1.0, 1.0], ["u", "u"])
    assert got.squared == pytest.approx(0.09 - 0.21)


def test_an_overconfident_model_leaves_its_band():
    rng = np.random.default_rng(9)
    p = rng.uniform(0.6, 0.98, 500)
    got = debiased_ece(p, (rng.random(500) < p - 0.15).astype(float))
    assert got.value > got.band_high
    assert got.value == pytest.approx(0.15, abs=0.05)


def test_units_that_fill_their_bins_alone_cannot_excuse_a_model_that_is_wrong_throughout():
    p = np.repeat([0.7, 0.75, 0.8, 0.85, 0.9], 40)
    got = debiased_ece(p, np.zeros(200), [unit for unit in "uvwxy" for _ in range(40)])
    assert got.bins == 5 and got.value > got.band_high


def test_the_band_is_a_function_of_the_seed_and_not_of_the_order():
    rng = np.random.default_rng(2)
    p = rng.random(60)
    y = (rng.random(60) < p).astype(float)
    shuffled = rng.permutation(60)
    assert debiased_ece(p, y, seed=1) == debiased_ece(p, y, seed=1)
    assert debiased_ece(p, y, seed=2).band_high != debiased_ece(p, y, seed=1).band_high
    other = debiased_ece(p[shuffled], y[shuffled], [str(i) for i in shuffled], seed=1)
    assert other.band_high == pytest.approx(debiased_ece(p, y, seed=1).band_high)
