"""Which responses are compared, worked out by hand and held to what must always be so."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rewardkit.generate_config import FormedConfig
from rewardkit.generation.pairing import pairs_of

TWO = {"a1": frozenset("a"), "a2": frozenset("a"), "b1": frozenset("b"), "b2": frozenset("b")}


def formed(responses, most=99, **fields):
    return pairs_of(responses, FormedConfig(per_prompt=most, **fields))


def test_between_policies_within_one_or_both():
    between = {("a1", "b1"), ("a1", "b2"), ("a2", "b1"), ("a2", "b2")}
    within = {("a1", "a2"), ("b1", "b2")}
    assert set(formed(TWO, within=False)) == between
    assert set(formed(TWO, between=False)) == within
    assert set(formed(TWO)) == between | within
    assert formed(TWO, between=False, within=False) == []


def test_a_text_that_two_policies_wrote_is_of_both():
    both = {"ab": frozenset("ab"), "a": frozenset("a")}
    assert formed(both, within=False) == formed(both, between=False) == [("a", "ab")]


def test_two_pairs_of_four_responses_leave_none_out():
    assert Counter(each for pair in formed(TWO, 2) for each in pair) == Counter(dict.fromkeys(TWO, 1))


@given(st.lists(st.sampled_from("abc"), max_size=7), st.integers(0, 9))
def test_no_more_than_asked_none_twice_and_each_about_equally_often(authors, most):
    responses = {f"{n}": frozenset(author) for n, author in enumerate(authors)}
    found = formed(responses, most)
    possible = len(responses) * (len(responses) - 1) // 2
    assert len(found) == min(most, possible) == len({frozenset(pair) for pair in found})
    met = Counter(each for pair in found for each in pair)
    assert not responses or max(met[each] for each in responses) - min(met[each] for each in responses) <= 2
    assert found == formed(dict(reversed(responses.items())), most)
