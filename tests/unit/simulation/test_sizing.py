"""Planned studies: cases worked by hand, and the rules that the stage and the page follow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rewardkit.aggregation.aggregators import anchored
from rewardkit.aggregation.anchor import Case
from rewardkit.aggregation.splits import Placement
from rewardkit.aggregation.votes import Tally, Vote
from rewardkit.config import AggregateConfig
from rewardkit.errors import DataError
from rewardkit.simulate_config import SimulatedAnnotatorConfig, StudyConfig
from rewardkit.simulation.crowd import Crowd, Pairs
from rewardkit.simulation.personas import Persona
from rewardkit.simulation.sizing import Estimate, size, stated_pairs


def somebody(**settings):
    return SimulatedAnnotatorConfig(name="s", **settings)


def study(**settings):
    plenty = {"items": 400, "budget": 1e6, "price": 0.1, "people": 10, "gold": (0.0,), "replicates": 100}
    return StudyConfig(**{**plenty, **settings})


def alike(gap=1.0, doublings=0.0, count=50):
    return Pairs(np.full(count, gap), np.full(count, doublings))


def logit(p):
    return math.log(p / (1 - p))


def close(estimate, expected):
    """Four standard errors of the mean over studies."""
    assert isinstance(estimate, Estimate) and estimate.low <= estimate.value <= estimate.high
    assert estimate.value == pytest.approx(expected, abs=4 * max(estimate.error, 1e-9))
    return True


@pytest.mark.parametrize("p", [0.55, 0.7, 0.9])
def test_a_majority_of_three_and_five_is_as_worked_by_hand(p):
    q = 1 - p
    one, three, five = size(study(overlap=(1, 3, 5)), [somebody(reliability=logit(p))], alike(), seed=1)
    assert close(one.accuracy, p)
    assert close(three.accuracy, p**3 + 3 * p**2 * q)
    assert close(five.accuracy, p**5 + 5 * p**4 * q + 10 * p**3 * q**2)


def test_of_two_that_disagree_half_are_right():
    # p² + 2pq/2 = p: a second label without a third adds nothing.
    (two,) = size(study(overlap=(2,)), [somebody(reliability=logit(0.8))], alike(), seed=1)
    assert close(two.accuracy, 0.8)


@pytest.mark.parametrize("spam", ["first", "second", "random"])
def test_spammers_know_nothing(spam):
    for sized in size(study(overlap=(1, 3)), [somebody(reliability=50.0, spam=spam)], alike(), seed=2):
        assert close(sized.accuracy, 0.5)


def test_a_single_voter_is_as_often_right_as_the_interval_says():
    # 400 items at .7: the standard deviation of a study's share is √(.21/400) = .0229, 1.96 of them are .045.
    (one,) = size(study(overlap=(1,), replicates=400), [somebody(reliability=logit(0.7))], alike(), seed=3)
    assert one.accuracy.low == pytest.approx(0.655, abs=0.01)
    assert one.accuracy.high == pytest.approx(0.745, abs=0.01)
    assert one.accuracy.n_studies == 400 and one.accuracy.n_items == 400


@pytest.mark.parametrize(
    "crowd",
    [
        [somebody(reliability=1.5, lapse=0.1)],
        [somebody(reliability=0.6, position_bias=1.0), somebody(length_bias=0.8)],
        [somebody(reliability=2.0), somebody(spam="random"), somebody(tie_width=0.4)],
    ],
)
def test_more_labels_never_make_it_worse(crowd):
    pairs = stated_pairs(study(), 3000, seed=0)
    sized = size(study(overlap=(1, 3, 5, 9)), crowd, pairs, seed=4)
    for fewer, more in zip(sized, sized[1:], strict=False):
        assert more.accuracy.value > fewer.accuracy.value - 4 * math.hypot(more.accuracy.error, fewer.accuracy.error)


def test_money_is_counted_to_the_last_label():
    # 100 pays for 1000 labels. With three an item and every tenth on gold 900 are left for work: 300 items.
    some = study(items=10_000, budget=100.0, price=0.1, overlap=(1, 3), gold=(0.0, 0.1), replicates=20)
    sized = size(some, [somebody(seconds=36.0, seconds_spread=0.0)], alike(), seed=0)
    found = [(each.overlap, each.gold, each.items, each.labels) for each in sized]
    assert found == [(1, 0.0, 1000, 1000), (1, 0.1, 900, 1000), (3, 0.0, 333, 999), (3, 0.1, 300, 1000)]
    assert [each.cost for each in sized] == pytest.approx([100.0, 100.0, 99.9, 100.0])
    assert [each.hours for each in sized] == pytest.approx([10.0, 10.0, 9.99, 10.0])


def test_a_budget_for_nothing_buys_nothing():
    (none,) = size(study(budget=0.2, overlap=(3,)), [somebody()], alike(), seed=0)
    assert (none.items, none.labels, none.cost, none.accuracy) == (0, 0, 0, None)


def test_hours_count_the_mean_of_the_times_and_not_their_median():
    # The mean of a log-normal time is exp(s²/2) medians.
    (one,) = size(study(overlap=(1,), replicates=20), [somebody(seconds=9.0, seconds_spread=1.0)], alike(), seed=0)
    assert one.hours == pytest.approx(400 * 9.0 * math.exp(0.5) / 3600)


def test_those_who_fail_gold_are_left_out_and_the_rest_decides():
    # Half never errs and half takes the first: with 100 gold answers each, nobody is mistaken for the other.
    crowd = [somebody(reliability=50.0), somebody(spam="first")]
    some = study(items=2000, overlap=(3,), gold=(0.25,), least_gold_accuracy=0.75, replicates=40)
    (sized,) = size(some, crowd, alike(), seed=5)
    assert (sized.left_out.rightly, sized.left_out.wrongly, sized.left_out.missed) == (5.0, 0.0, 0.0)
    # Of three out of ten people, all five spammers may not be drawn: C(5,3)/C(10,3) = 1/12 are spammers only,
    # which leaves nobody, half right; everybody else's item has a right vote and no wrong one.
    assert close(sized.accuracy_without, 1 - 0.5 / 12)
    # With spammers: 1/12 only good (1), 5/12 two good (1), 5/12 one good: wrong if both others err, 1/4 of the time;
    # 1/12 spammers only, 1/2.
    assert close(sized.accuracy, 1 / 12 + 5 / 12 + 5 / 12 * 0.75 + 1 / 12 * 0.5)


def test_good_people_fail_gold_by_chance_where_it_is_little():
    # One gold answer each: who is right with .8 is left out in one case of five, and wrongly.
    some = study(items=90, overlap=(1,), gold=(0.1,), replicates=400)
    (sized,) = size(some, [somebody(reliability=logit(0.8))], alike(), seed=6)
    assert sized.labels == 100 and sized.left_out.rightly == sized.left_out.missed == 0
    assert sized.left_out.wrongly == pytest.approx(2.0, abs=4 * math.sqrt(10 * 0.16 / 400))


def test_without_gold_nobody_is_left_out():
    (sized,) = size(study(overlap=(3,)), [somebody(spam="first")], alike(), seed=0)
    assert sized.accuracy_without is None and sized.left_out is None


def test_fatigue_costs_accuracy_in_long_studies_only():
    tiring = [somebody(reliability=3.0, fatigue=1.0)]
    short, long = (size(study(items=n, overlap=(1,)), tiring, alike(), seed=7)[0] for n in (50, 4000))
    # Five answers each lose next to nothing; of 400 each the last 300 are chance.
    assert short.accuracy.value > 0.93 and long.accuracy.value < 0.65


def test_more_labels_from_the_same_tired_people_can_make_it_worse():
    # Five labels an item are 200 answers each, nine are 360, of which 160 are chance.
    five, nine = size(study(overlap=(5, 9)), [somebody(reliability=2.0, fatigue=0.5)], alike(), seed=4)
    assert nine.accuracy.value < five.accuracy.value


def test_the_same_seed_gives_the_same_numbers():
    pairs, some = alike(), study(overlap=(3,), gold=(0.1,))
    first, again, other = (size(some, [somebody()], pairs, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_nothing_to_tell_apart_is_one_clear_error():
    with pytest.raises(DataError, match="no response is better"):
        size(study(), [somebody()], alike(gap=0.0), seed=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"reliability": 0.8, "position_bias": 0.7, "length_bias": 0.6},
        {"reliability": 1.5, "tie_width": 1.0, "lapse": 0.2},
        {"reliability": 2.0, "fatigue": 0.4},
        {"spam": "second"},
    ],
)
def test_arrays_follow_the_rules_of_a_single_persona(settings):
    """Share of right, wrong and tied answers: drawn by hashes one by one, drawn as arrays, and computed."""
    one, crowd, n = Persona(somebody(**settings), "s", 3), Crowd.of([somebody(**settings)], 1), 6000
    pairs = stated_pairs(study(), n, seed=8)
    answered = np.arange(n) % 150.0
    said = []
    for at, (gap, doublings) in enumerate(zip(pairs.gaps, pairs.doublings, strict=True)):
        order = "ab" if at % 2 else "ba"
        choice = one.choose(str(at), order, one.logit(gap, doublings, order, int(answered[at])))
        said.append({"a": 1.0, "b": -1.0, "tie": 0.0}[choice])
    drawn = crowd.votes(np.zeros(n, dtype=np.int64), pairs, answered, np.random.default_rng(0))
    # Four standard errors of the difference of two shares.
    for vote in (-1.0, 0.0, 1.0):
        assert np.mean(np.array(said) == vote) == pytest.approx(np.mean(drawn == vote), abs=4 * math.sqrt(0.5 / n))
    computed = crowd.accuracy(pairs.at(np.arange(500)), np.arange(150.0))
    assert computed[0] == pytest.approx(np.mean(drawn == 1.0), abs=0.05)


def test_the_products_aggregation_decides_as_the_majority():
    draws = np.random.default_rng(0)
    votes = draws.choice([0.0, 0.5, 1.0], (200, 3))
    cases = [
        Case(Tally(tuple(Vote(v, 2.0) for v in each)), Placement("train", f"u{n}")) for n, each in enumerate(votes)
    ]
    beliefs = anchored(cases, AggregateConfig()).beliefs
    assert [np.sign(round(each.p_a - 0.5, 9)) for each in beliefs] == list(np.sign(votes.mean(axis=1) - 0.5))
