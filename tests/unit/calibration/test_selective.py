"""The threshold of a judge: by hand, against scipy's test, by properties, and by simulated promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from rewardkit.calibration.selective import choose_threshold, last_passed
from rewardkit.errors import ConfigError, DataError

DESCENDING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


def test_the_sequence_stops_at_the_first_failure_by_hand():
    # At alpha = .5, four of four have p = 1/16 and five with one disagreement 6/32: above .1, and the sequence ends,
    # although at the end one disagreement in nine has p = 10/512.
    found = choose_threshold(DESCENDING, [1, 1, 1, 1, 0, 1, 1, 1, 1], alpha=0.5, delta=0.1, starts=[4])
    assert (found.threshold, found.n_selected, found.n) == (0.6, 4, 9)
    assert found.coverage.value == pytest.approx(4 / 9)
    assert found.agreement.value == 1.0
    assert "4 of 4 independent comparisons agree" in found.note


def test_a_second_start_has_half_of_delta_by_hand():
    # Each start has .05: four of four (1/16) fail; at nine, one disagreement has 10/512 = .0195.
    found = choose_threshold(DESCENDING, [1, 1, 1, 1, 0, 1, 1, 1, 1], alpha=0.5, delta=0.1, starts=[4, 9])
    assert (found.threshold, found.n_selected) == (0.1, 9)


def test_a_sequence_that_arrives_at_the_next_start_has_both_shares():
    # Shares of .05. Five of five have 1/32 and pass; at six one disagreement has 7/64 = .109 and fails at .1 too; had
    # the second start come with 7 of 7 behind, it would be tested at .1: one disagreement in seven has 8/128 = .0625.
    agreed = np.array([1, 1, 1, 1, 1, 1, 0])
    counts, disagreed = np.arange(1, 8), np.cumsum(1 - agreed)
    assert last_passed(counts, disagreed, alpha=0.5, delta=0.1, starts=[5, 7]) == 6
    broken = np.cumsum(1 - np.array([1, 1, 1, 1, 0, 1, 1]))
    assert last_passed(counts, broken, alpha=0.5, delta=0.1, starts=[5, 7]) is None


def test_none_passes_means_nothing_is_answered():
    found = choose_threshold([0.9] * 30 + [0.8] * 30, [1, 0] * 30, alpha=0.2, delta=0.1)
    assert found.threshold is None and found.n_selected == 0 and found.agreement is None
    assert found.coverage.value == 0.0
    assert not found.answers([0.9, 1.0, math.inf]).any()
    assert "cannot be shown on 60 independent labelled comparisons" in found.note


@pytest.mark.parametrize(("n", "enough"), [(21, False), (22, True)])
def test_too_few_labels_are_said_to_be(n, enough):
    # .9 to the 21 is .109 and to the 22 .098: the fewest units that can show .9 at confidence .9.
    found = choose_threshold([0.9] * n, [1.0] * n, alpha=0.1, delta=0.1)
    assert (found.threshold is not None) is enough
    assert enough or "21 independent labelled comparisons, where 22 are needed even if all agree" in found.note


def test_the_first_start_is_the_fewest_units_that_pass_with_half_the_risk():
    # What the judge is surest of is wrong: a sequence that started any earlier would have failed at once.
    first = next(m for m in range(1, 400) if binomtest(m // 10, m, 0.2, alternative="less").pvalue <= 0.05)
    agreed = np.r_[np.zeros(first // 10), np.ones(first - first // 10)]
    found = choose_threshold(np.linspace(1, 0.5, first), agreed, alpha=0.2, delta=0.1)
    assert found.n_selected == first
    earlier = choose_threshold(np.linspace(1, 0.5, first), agreed, alpha=0.2, delta=0.1, starts=[first - 10])
    assert earlier.n_selected == 0


def test_p_values_are_those_of_the_exact_binomial_test():
    counts, disagreed = np.array([30, 60, 90]), np.array([3, 9, 20])
    passes = [
        binomtest(int(d), int(n), 0.25, alternative="less").pvalue <= 0.1
        for n, d in zip(counts, disagreed, strict=True)
    ]
    assert passes == [True, True, False]
    assert last_passed(counts, disagreed, alpha=0.25, delta=0.1, starts=[1]) == 1


def test_ties_in_confidence_stand_or_fall_together():
    found = choose_threshold([0.9] * 40 + [0.6] * 40, [1.0] * 39 + [0.0] * 41, alpha=0.2, delta=0.1)
    assert (found.threshold, found.n_selected) == (0.9, 40)
    assert found.answers([0.9, 0.89, 0.95, math.nan]).tolist() == [True, False, True, False]


def test_what_has_no_confidence_is_never_answered_and_counts():
    found = choose_threshold([0.9] * 40 + [math.nan] * 60, [1.0] * 40 + [math.nan] * 60, alpha=0.2, delta=0.1)
    assert (found.n, found.n_selected, found.coverage.value) == (100, 40, 0.4)


def test_a_grid_is_what_is_tested():
    sure = np.linspace(0.99, 0.5, 200)
    found = choose_threshold(sure, np.ones(200), alpha=0.2, delta=0.1, grid=[0.55, 0.75, 0.95])
    assert found.threshold == 0.55


def test_copies_of_one_unit_are_one_trial():
    sure, agreed = np.repeat(np.linspace(0.9, 0.6, 20), 10), np.ones(200)
    units = [f"prompt {i // 10}" for i in range(200)]
    assert choose_threshold(sure, agreed, alpha=0.1, delta=0.1).threshold is not None
    clustered = choose_threshold(sure, agreed, alpha=0.1, delta=0.1, units=units)
    assert (clustered.threshold, clustered.n) == (None, 20)


def test_one_of_a_unit_is_drawn_evenly():
    units = [f"prompt {i // 3}" for i in range(6000)]
    found = choose_threshold(np.full(6000, 0.9), np.tile([1.0, 0.0, 1.0], 2000), alpha=0.5, delta=0.1, units=units)
    assert found.n == 2000
    assert found.agreement.low < 2 / 3 < found.agreement.high


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_divided_people_are_asked_one_by_one(share):
    found = choose_threshold(np.full(4000, 0.9), np.full(4000, share), alpha=0.6, delta=0.1)
    assert found.agreement.value == pytest.approx(share, abs=0.03)


def test_another_seed_draws_others():
    units = [f"prompt {i // 2}" for i in range(600)]
    sure, agreed = np.random.default_rng(0).random((2, 600))
    one, other = (choose_threshold(sure, agreed > 0.2, alpha=0.4, delta=0.1, units=units, seed=seed) for seed in (0, 1))
    assert one.agreement != other.agreement


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"alpha": 0.0}, ConfigError, "alpha is 0.0"),
        ({"delta": 1.0}, ConfigError, "delta is 1.0"),
        ({"starts": [0, 5]}, ConfigError, "starts"),
        ({"starts": []}, ConfigError, "starts"),
        ({"grid": []}, ConfigError, "grid"),
        ({"grid": [0.5, math.nan]}, ConfigError, "grid"),
        ({"confidence": [], "agreement": []}, DataError, "no labelled item"),
        ({"confidence": [0.9]}, DataError, "as many of each"),
        ({"units": ["u"]}, DataError, "1 units"),
        ({"confidence": [0.9, math.inf]}, DataError, "infinite"),
        ({"agreement": [1.0, 1.5]}, DataError, "between 0 and 1"),
        ({"agreement": [1.0, math.nan]}, DataError, "nobody labelled"),
    ],
)
def test_bad_input_is_named(changes, error, named):
    given_ = {"confidence": [0.9, 0.8], "agreement": [1.0, 1.0], "alpha": 0.2, "delta": 0.1, **changes}
    with pytest.raises(error, match=named):
        choose_threshold(given_.pop("confidence"), given_.pop("agreement"), **given_)


items = st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 60)), min_size=1, max_size=120)
levels = st.tuples(st.floats(0.05, 0.6), st.floats(0.02, 0.3))


def unpacked(given_items):
    sure, agreed, units = zip(*given_items, strict=True)
    return np.array(sure) / 12, np.array(agreed, dtype=float), [f"prompt {unit}" for unit in units]


@given(items, levels, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(given_items, promise, random):
    shuffled = random.sample(given_items, len(given_items))
    results = []
    for each in (given_items, shuffled):
        sure, agreed, units = unpacked(each)
        found = choose_threshold(sure, agreed, units=units, alpha=promise[0], delta=promise[1])
        results.append((found.threshold, found.n_selected, found.n, found.agreement and found.agreement.value))
    assert results[0] == results[1]


@given(items, levels, st.floats(1.0, 1.5), st.floats(1.0, 1.5))
def test_a_weaker_promise_answers_no_less(given_items, promise, more_alpha, more_delta):
    sure, agreed, _ = unpacked(given_items)
    starts = [5, 20]
    alpha, delta = promise
    strong = choose_threshold(sure, agreed, alpha=alpha, delta=delta, starts=starts)
    weak = choose_threshold(sure, agreed, alpha=alpha * more_alpha, delta=delta * more_delta, starts=starts)
    assert weak.n_selected >= strong.n_selected


@given(items, levels)
def test_only_the_order_of_the_confidences_matters(given_items, promise):
    sure, agreed, _ = unpacked(given_items)
    one, other = (
        choose_threshold(scale, agreed, alpha=promise[0], delta=promise[1]) for scale in (sure, np.exp(5 * sure) - 40)
    )
    assert one.n_selected == other.n_selected


@given(items, levels)
def test_what_is_answered_passed_its_test(given_items, promise):
    sure, agreed, _ = unpacked(given_items)
    found = choose_threshold(sure, agreed, alpha=promise[0], delta=promise[1])
    if found.threshold is not None:
        chosen = agreed[sure >= found.threshold]
        assert binomtest(int((1 - chosen).sum()), len(chosen), promise[0], alternative="less").pvalue <= promise[1]


@given(st.integers(1, 150), levels)
def test_a_judge_that_is_always_wrong_answers_nothing(n, promise):
    assert choose_threshold(np.linspace(0, 1, n), np.zeros(n), alpha=promise[0], delta=promise[1]).threshold is None


def most(delta, runs):
    return delta + 2 * math.sqrt(delta * (1 - delta) / runs)


def broken_and_coverage(draw, risk_above, *, runs, n, alpha=0.2, delta=0.1, seed=0):
    """Return how often the true risk of what is answered is above alpha, and the share that is answered."""
    rng = np.random.default_rng(seed)
    broken, coverage = [], []
    for _ in range(runs):
        sure, agreed = draw(rng, n)
        found = choose_threshold(sure, agreed, alpha=alpha, delta=delta)
        broken.append(found.threshold is not None and risk_above(found.threshold) > alpha)
        coverage.append(found.coverage.value)
    return np.mean(broken), np.mean(coverage)


def calibrated(rng, n):
    """Draw a judge of agreement .71 that knows how sure it may be."""
    sure = 0.5 + 0.5 * rng.beta(0.84, 1.16, n)
    return sure, (rng.random(n) < sure).astype(float)


def calibrated_risk(threshold):
    """Return 1 − E[sure | sure ≥ threshold] for the judge above, by its distribution function."""
    x = max(2 * threshold - 1, 0.0)
    mean = 0.84 / 2 * beta.sf(x, 1.84, 1.16) / beta.sf(x, 0.84, 1.16)
    return 0.5 - 0.5 * mean


def test_the_promise_is_kept_and_much_is_answered():
    broken, coverage = broken_and_coverage(calibrated, calibrated_risk, runs=200, n=500)
    assert broken <= most(0.1, 200)
    assert coverage >= 0.40


def test_the_promise_is_kept_at_the_edge():
    # Nothing in the confidence, and the risk just above alpha everywhere: whatever is answered breaks the promise.
    def at_the_edge(rng, n):
        return rng.random(n), (rng.random(n) < 0.7999).astype(float)

    broken, _ = broken_and_coverage(at_the_edge, lambda _: 0.2001, runs=300, n=200)
    assert broken <= most(0.1, 300)


def test_units_that_rise_and_fall_together_break_a_promise_that_ignores_them():
    rng = np.random.default_rng(2)
    broken = {"ignored": 0, "known": 0}
    for _ in range(200):
        fate = rng.random(60) < 0.79
        agreed, sure = np.repeat(fate, 8).astype(float), np.repeat(rng.random(60), 8)
        units = [f"prompt {i // 8}" for i in range(480)]
        for name, given_units in (("ignored", None), ("known", units)):
            found = choose_threshold(sure, agreed, alpha=0.2, delta=0.1, units=given_units)
            broken[name] += found.threshold is not None
    assert broken["known"] / 200 <= most(0.1, 200)
    assert broken["ignored"] / 200 > 2 * most(0.1, 200)
