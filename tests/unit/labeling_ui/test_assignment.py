"""The strategy: probabilities that sum to one, gold at first, and sides that are fair and change."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling_ui.assignment import (
    Standing,
    chances,
    draw,
    gold_share,
    lease_seconds,
    order_shown,
    unit_number,
    wants_another,
)
from rewardkit.label_config import AssignmentConfig

POLICY = AssignmentConfig()
STANDINGS = st.builds(
    Standing,
    turns=st.integers(0, 10_000),
    answers=st.integers(0, 10_000),
    work=st.booleans(),
    gold=st.booleans(),
    repeat=st.booleans(),
)
POLICIES = st.builds(
    AssignmentConfig,
    gold_early=st.floats(0, 0.5),
    gold_late=st.floats(0, 0.5),
    gold_early_turns=st.integers(1, 100),
    repeats=st.floats(0, 0.4),
)


@given(STANDINGS, POLICIES, st.floats(0, 1, exclude_max=True))
def test_chances_are_probabilities_of_what_is_open(standing, policy, u):
    chance = chances(standing, policy)
    assert set(chance) <= {route for route in ("work", "gold", "repeat") if getattr(standing, route)}
    assert bool(chance) == standing.work
    assert all(0 <= value <= 1 for value in chance.values())
    if chance:
        assert math.isclose(sum(chance.values()), 1.0)
    assert (draw(chance, u) in chance) if chance else draw(chance, u) is None


def test_routes_come_as_often_as_their_chance():
    chance = {"work": 0.75, "gold": 0.2, "repeat": 0.05}
    drawn = [draw(chance, i / 1000) for i in range(1000)]
    assert [drawn.count(route) for route in ("work", "gold", "repeat")] == [750, 200, 50]


def test_gold_comes_first_and_decays():
    assert [gold_share(turn, POLICY) for turn in (0, 24, 25)] == [0.2] * 3
    # A further 25 turns: .05 + .15 / e.
    assert gold_share(50, POLICY) == pytest.approx(0.05 + 0.15 / math.e)
    assert gold_share(1000, POLICY) == pytest.approx(0.05, abs=1e-9)
    shares = [gold_share(turn, POLICY) for turn in range(200)]
    assert shares == sorted(shares, reverse=True)


@given(st.text(), st.text(), st.integers(0, 5))
def test_a_repeat_changes_the_sides(item, annotator, repeat):
    assert order_shown(item, annotator, repeat) == order_shown(item, annotator, repeat)
    assert order_shown(item, annotator, repeat) != order_shown(item, annotator, repeat + 1)


@given(st.text(), st.text(), st.integers(1, 8))
def test_every_response_is_shown_once(item, annotator, count):
    shown = order_shown(item, annotator, 0, count)
    assert sorted(shown) == list(range(count))
    assert order_shown(item, annotator, 1, count) == shown[::-1]


def test_whoever_has_to_qualify_does_nothing_else():
    standing = Standing(0, 0, work=True, gold=True, repeat=True, qualification=True)
    assert chances(standing, POLICY) == {"qualification": 1.0}


def test_sides_are_fair_over_annotators_and_items():
    for names in ([("i", f"p{n}") for n in range(4000)], [(f"i{n}", "p") for n in range(4000)]):
        share = sum(order_shown(item, person, 0) == (0, 1) for item, person in names) / 4000
        assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 4000)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_numbers_lie_in_the_unit_interval(parts):
    assert 0 <= unit_number(*parts) < 1


@pytest.mark.parametrize(
    ("choices", "wanted", "more"),
    [
        (["a", "a", "a"], 3, False),
        (["a", "a", "b"], 3, True),
        (["a", "a", "b", "a"], 4, False),
        (["a", "a", "b", "b"], 4, True),
        (["a", "a", "b", "b", "tie"], 5, False),
        (["a", "b"], 3, False),
        ([], 0, False),
    ],
)
def test_disagreement_asks_for_a_fourth_and_fifth_label(choices, wanted, more):
    assert wants_another(choices, wanted, POLICY) == more


def test_a_lease_lasts_ten_minutes_or_three_medians():
    assert [lease_seconds(median, POLICY) for median in (None, 30.0, 400.0)] == [600.0, 600.0, 1200.0]
