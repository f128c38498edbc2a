"""Agreement beyond chance: against independent libraries and by hand; the intervals keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from rewardkit.aggregation.agreement import agreement
from rewardkit.audit.chance import coefficients
from rewardkit.audit.ratings import correlation
from rewardkit.audit.resampling import resampled, resampled_difference
from rewardkit.audit.results import Level

LEVEL = Level(resamples=100)
verdicts = st.lists(st.tuples(*[st.sampled_from([-1, 0, 1])] * 2), min_size=2, max_size=40)


@given(verdicts)
@settings(max_examples=60)
def test_kappa_and_alpha_are_those_of_other_code_with_each_item_seen_from_both_sides(pairs):
    first, second = (list(column) for column in zip(*pairs, strict=True))
    assume(len(set(first + second + [-v for v in first])) > 1)
    found = coefficients(first, second, [str(i) for i in range(len(first))], LEVEL)
    both = [*first, *(-v for v in first)], [*second, *(-v for v in second)]
    assert found.kappa.estimate.value == pytest.approx(cohen_kappa_score(*both))
    items = [str(i) for i in range(len(both[0]))]
    alpha = agreement(items * 2, ["one"] * len(items) + ["two"] * len(items), both[0] + both[1], level="nominal").alpha
    assert found.alpha.estimate.value == pytest.approx(alpha)


def test_ac1_by_hand():
    # A A, A B, tie tie, tie A. From both sides, each counted twice: 2 of 4 agree. Of the answers A and B have 5/16
    # each and ties 6/16: what chance would give is (2 · 5/16 · 11/16 + 6/16 · 10/16) / (3 − 1) = 85/256.
    found = coefficients([1, 1, 0, 0], [1, -1, 0, 1], list("wxyz"), LEVEL)
    assert found.ac1.estimate.value == pytest.approx((1 / 2 - 85 / 256) / (1 - 85 / 256))
    # Without ties there are two categories, and chance gives one half: AC1 is then κ, 2 · 3/4 − 1.
    plain = coefficients([1, 1, -1, -1], [1, -1, -1, -1], list("wxyz"), LEVEL)
    assert plain.ac1.estimate.value == plain.kappa.estimate.value == 0.5


def test_where_chance_alone_would_agree_nothing_is_measured():
    found = coefficients([0, 0], [0, 0], ["x", "y"], LEVEL)
    assert found.kappa.estimate is None and found.kappa.note.endswith("(n = 2)")


def test_one_unit_tells_nothing_of_others():
    found = coefficients([1, 1, -1], [1, -1, -1], ["x"] * 3, LEVEL).kappa.estimate
    assert (found.low, found.high, found.n, found.n_units) == (-1.0, 1.0, 3, 1)


def test_a_statistic_that_never_moves_has_an_open_interval():
    def still(times):
        return np.full(len(times), 0.25)

    units = ["x", "y", "z"]
    found = resampled(still, units, LEVEL, undefined="").estimate
    assert (found.value, found.low, found.high) == (0.25, -1.0, 1.0)
    apart = resampled_difference(still, units, LEVEL, undefined="").estimate
    assert (apart.low, apart.high) == (-2.0, 2.0)
    nothing = resampled(lambda times: np.full(len(times), np.nan), units, LEVEL, undefined="no spread")
    assert nothing.note == "not measurable: no spread (n = 3)"


def test_intervals_are_clustered():
    rng = np.random.default_rng(0)
    first, second = (rng.choice([-1, 1], 40) for _ in range(2))
    alone = coefficients(first, second, [str(i) for i in range(40)], LEVEL).kappa.estimate
    # The same verdicts eight times over, eight to a prompt: nothing more is known.
    units = [str(i) for i in range(40)] * 8
    again = coefficients(np.tile(first, 8), np.tile(second, 8), units, LEVEL).kappa.estimate
    assert again.value == pytest.approx(alone.value) and again.low == pytest.approx(alone.low, abs=1e-9)
    assert (again.n, again.n_units) == (320, 40)


@pytest.mark.slow
def test_nineteen_in_twenty_intervals_hold_the_truth():
    """20 prompts of 4 comparisons that share a difficulty; a judge that is right in 7 of 10 has κ = .4."""
    rng, level = np.random.default_rng(1), Level(resamples=200)
    kappa = rank = 0
    runs = 300
    for _ in range(runs):
        units = [str(i // 4) for i in range(80)]
        right = rng.random(80) < np.repeat(rng.beta(3.5, 1.5, 20), 4)
        human = rng.choice([-1, 1], 80)
        found = coefficients(human, np.where(right, human, -human), units, level).kappa.estimate
        kappa += found.low <= 0.4 <= found.high
        shared = np.repeat(rng.normal(size=(2, 20)), 4, axis=1)
        x, noise = shared + rng.normal(size=(2, 80))
        close = correlation(x.tolist(), (x + noise).tolist(), units, level).estimate
        # Of two normal variables whose correlation is √½: (6 / π) · asin(√½ / 2).
        rank += close.low <= 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2) <= close.high
    # Two standard errors of a share of .95 in 300 runs are .025.
    assert 0.92 <= kappa / runs <= 0.99 and 0.92 <= rank / runs <= 0.99


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30))
@settings(max_examples=60)
def test_rank_correlation_is_that_of_other_code(pairs):
    x, y = (list(map(float, column)) for column in zip(*pairs, strict=True))
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    found = correlation(x, y, [str(i // 2) for i in range(len(x))], LEVEL).estimate
    assert found.value == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
    assert found.low <= found.value + 1e-9 and found.value <= found.high + 1e-9
