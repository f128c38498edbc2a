"""Cascades: routes and costs by hand, thresholds against those of one judge, promises by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.calibration.cascades import StageLabels, choose_stages, choose_together
from rewardkit.calibration.selective import choose_threshold
from rewardkit.errors import ConfigError, DataError

# 100 items: the cheap judge is sure of 60 and right on 57, the strong one is sure of 30 of the others and right on all.
CHEAP = StageLabels("cheap", [0.9] * 60 + [0.5] * 40, [1.0] * 57 + [0.0] * 43, cost=1.0)
STRONG = StageLabels("strong", [0.7] * 60 + [0.95] * 30 + [0.4] * 10, [1.0] * 90 + [0.0] * 10, cost=30.0)
PROMISE = {"alpha": 0.2, "delta": 0.1}


def test_together_by_hand():
    found = choose_together([CHEAP, STRONG], **PROMISE, people_cost=100.0)
    # At .7 the cheap judge answers its 60 and the strong one 30: 3 wrong of 90 pass. At .5 the cheap one answers all
    # 100: 43 wrong fail. The 10 that are left go to people.
    assert [stage.threshold for stage in found.stages] == [0.7, 0.7]
    assert [stage.share.value for stage in found.stages] == [0.6, 0.3]
    assert [stage.agreement.value for stage in found.stages] == pytest.approx([0.95, 1.0])
    assert found.answered.value == 0.9
    assert found.agreement.value == pytest.approx(87 / 90)
    assert found.cost.value == pytest.approx(0.6 * 1 + 0.3 * 31 + 0.1 * 131)
    assert found.guaranteed_agreement == pytest.approx(1 - 0.2 * found.answered.high)
    assert (found.n, found.alpha, found.delta) == (100, 0.2, 0.1)


def test_the_route_of_an_item_by_hand():
    found = choose_together([CHEAP, STRONG], **PROMISE)
    items = [[0.7, 0.99], [0.69, 0.99], [math.nan, 0.7], [math.nan, 0.69]]
    assert found.route(items).tolist() == [0, 1, 1, -1]
    assert found.cost_of(np.array([0, 1, -1]), people_cost=100.0).tolist() == [1.0, 31.0, 131.0]
    assert found.stages[0].answers(0.7) and not found.stages[0].answers(None)


def test_a_floor_sends_on_what_the_threshold_would_let_pass():
    # The strong judge's lowest, .4, is below the threshold of .5 at which the cheap one would answer all wrongly.
    floored = StageLabels("cheap", CHEAP.confidence, CHEAP.agreement, cost=1.0, floor=0.8)
    found = choose_together([floored, STRONG], **PROMISE)
    assert [stage.threshold for stage in found.stages] == [0.8, 0.4]
    assert found.answered.value == 1.0 and found.agreement.value == pytest.approx(0.87)


def test_one_stage_is_the_threshold_of_one_judge():
    rng = np.random.default_rng(0)
    sure = 0.5 + 0.5 * rng.random(400)
    agreed = (rng.random(400) < sure).astype(float)
    units = [f"prompt {i // 2}" for i in range(400)]
    alone = choose_threshold(sure, agreed, **PROMISE, units=units)
    assert alone.threshold is not None
    for choose in (choose_together, choose_stages):
        found = choose([StageLabels("judge", sure, agreed)], **PROMISE, units=units)
        [stage] = found.stages
        assert (stage.threshold, stage.share, found.agreement) == (alone.threshold, alone.coverage, alone.agreement)


def test_delta_is_shared_by_the_stages():
    # Both judges are always right. At alpha = .5, k of k pass at delta where k ≥ log2(1 / delta): 4 at .1, 5 at .05.
    for n in (200, 400):
        right = StageLabels("one", np.full(n, 0.9), np.ones(n))
        found = choose_stages([right, right], alpha=0.5, delta=0.1)
        assert "at confidence 0.95" in found.stages[0].note
        assert [stage.threshold for stage in found.stages] == [0.9, None]
        assert "no labelled comparison was left" in found.stages[1].note


def test_a_stage_is_tested_on_units_of_its_own():
    # Of the items that reach the second stage, the answers on about half are its own; the others change nothing.
    rng = np.random.default_rng(1)
    n = 600
    sure = 0.5 + 0.5 * rng.random((2, n))
    agreed = (rng.random((2, n)) < sure).astype(float)

    def chosen(second):
        labels = [StageLabels("one", sure[0], agreed[0]), StageLabels("two", sure[1], second)]
        return choose_stages(labels, **PROMISE).stages

    first, before = chosen(agreed[1])
    reach = np.flatnonzero((sure[0] < first.threshold) & (sure[1] >= before.threshold))[::2]
    after = [chosen(np.where(np.arange(n) == i, 1 - agreed[1], agreed[1]))[1] for i in reach]
    unmoved = [stage.note == before.note for stage in after]
    assert len(reach) >= 30
    assert 0.3 * len(reach) < sum(unmoved) < 0.7 * len(reach)


def test_nothing_that_can_be_promised_goes_to_people():
    coin = StageLabels("coin", np.linspace(0, 1, 100), np.tile([0.0, 1.0], 50), cost=5.0)
    for choose in (choose_together, choose_stages):
        found = choose([coin, coin], **PROMISE, people_cost=100.0)
        assert [stage.threshold for stage in found.stages] == [None, None]
        assert not any(stage.asked for stage in found.stages)
        assert (found.guaranteed_agreement, found.cost.value, found.agreement) == (1.0, 100.0, None)
        assert found.route([[1.0, 1.0]]).tolist() == [-1]


def test_a_stage_that_answers_nothing_is_asked_only_for_what_it_tells_a_later_one():
    n = 400
    coin = StageLabels("coin", np.linspace(0, 1, n), np.tile([0.0, 1.0], n // 2), cost=5.0)
    sure = StageLabels("sure", np.full(n, 0.9), np.ones(n), cost=30.0)
    uses = StageLabels("sure", np.full(n, 0.9), np.ones(n), cost=30.0, uses_earlier=True)
    without, with_it = (choose_stages([coin, last], **PROMISE) for last in (sure, uses))
    assert ([stage.asked for stage in without.stages], without.cost.value) == ([False, True], 30.0)
    assert ([stage.asked for stage in with_it.stages], with_it.cost.value) == ([True, True], 35.0)


@pytest.mark.parametrize("choose", [choose_together, choose_stages])
@pytest.mark.parametrize(
    ("stages", "promise", "error", "named"),
    [
        ([], PROMISE, DataError, "one stage or more"),
        ([CHEAP, StageLabels("short", [0.9], [1.0])], PROMISE, DataError, "all on the same items"),
        ([StageLabels("flat", 0.9, 1.0)], PROMISE, DataError, "all on the same items"),
        ([StageLabels("none", [], [])], PROMISE, DataError, "no labelled item"),
        ([CHEAP], {"alpha": 1.2, "delta": 0.1}, ConfigError, "alpha is 1.2"),
        ([CHEAP], {**PROMISE, "units": ["u"]}, DataError, "1 units"),
    ],
)
def test_bad_input_is_named(choose, stages, promise, error, named):
    with pytest.raises(error, match=named):
        choose(stages, **promise)


def test_confidences_of_another_number_of_stages_are_refused():
    found = choose_together([CHEAP, STRONG], **PROMISE)
    with pytest.raises(DataError, match=r"\(1, 3\)"):
        found.route([[0.9, 0.9, 0.9]])


rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans(), st.booleans(), st.integers(0, 40)),
    min_size=1,
    max_size=80,
)


def staged(given_rows):
    one, two, right_one, right_two, units = zip(*given_rows, strict=True)
    stages = [
        StageLabels("one", np.divide(one, 9), right_one, 1.0),
        StageLabels("two", np.divide(two, 9), right_two, 9.0),
    ]
    return stages, [f"prompt {unit}" for unit in units]


@given(rows, st.randoms(use_true_random=False), st.sampled_from([choose_together, choose_stages]))
def test_the_order_of_the_items_does_not_matter(given_rows, random, choose):
    results = []
    for each in (given_rows, random.sample(given_rows, len(given_rows))):
        stages, units = staged(each)
        found = choose(stages, alpha=0.4, delta=0.2, units=units)
        results.append([(stage.threshold, stage.share.value, stage.note) for stage in found.stages])
    assert results[0] == results[1]


@given(rows, st.sampled_from([choose_together, choose_stages]))
def test_shares_and_costs_hang_together(given_rows, choose):
    stages, units = staged(given_rows)
    found = choose(stages, alpha=0.4, delta=0.2, units=units, people_cost=50.0)
    assert math.fsum(stage.share.value for stage in found.stages) == pytest.approx(found.answered.value)
    assert 0 <= found.cost.value <= 60.0 + 1e-9
    assert 0.6 <= found.guaranteed_agreement <= 1


def opposed(rng, n):
    """Draw two judges, of which the second is right where the first is wrong more often than elsewhere."""
    one = rng.random(n)
    right = rng.random(n) < 0.7 + 0.25 * one
    second = rng.random(n) < np.where(right, 0.76, 0.9)
    return one, right.astype(float), rng.random(n), second.astype(float)


@pytest.mark.parametrize("choose", [choose_together, choose_stages])
def test_the_promise_is_kept_by_judges_that_err_on_opposite_items(choose):
    rng = np.random.default_rng(0)
    many = opposed(rng, 100_000)
    sure, agreed = np.column_stack([many[0], many[2]]), np.column_stack([many[1], many[3]])
    broken, runs = 0, 150
    more = {"grid": np.linspace(0, 1, 51)} if choose is choose_together else {}
    for _ in range(runs):
        one, right, two, second = opposed(rng, 300)
        found = choose([StageLabels("one", one, right), StageLabels("two", two, second)], alpha=0.2, delta=0.1, **more)
        at = found.route(sure)
        risks = [1 - agreed[at == k, k].mean() for k in (0, 1) if (at == k).any()]
        total = 1 - agreed[np.arange(len(at)), at][at >= 0].mean() if (at >= 0).any() else 0.0
        broken += max(risks, default=0.0) > 0.2 if choose is choose_stages else total > 0.2
    assert broken / runs <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / runs)
