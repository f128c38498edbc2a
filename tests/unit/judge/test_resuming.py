from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.resuming import KeysInOrder, left_of

ITEMS = st.text("abc", min_size=1, max_size=3)
KEYS = st.tuples(ITEMS, st.sampled_from(["ab", "ba", None]), st.integers(0, 1))


@given(st.lists(KEYS), st.sets(ITEMS), st.permutations(["ab", "ba"]))
def test_keys_in_order_know_what_a_set_knows(keys, items, orders):
    known = {(item, order or "ab", repeat) for item, order, repeat in keys}
    in_order = KeysInOrder(sorted(keys, key=lambda key: key[0]))
    for item in sorted(items):
        assert left_of(item, orders, in_order) == left_of(item, orders, known)
    assert in_order.count == sum(key[0] in items for key in keys)


def test_keys_of_ratings_are_known_likewise():
    in_order = KeysInOrder([("r1", "craft", 0), ("r1", "wit", 0), ("r3", "wit", 0)])
    assert ("r1", "wit", 0) in in_order and ("r1", "pace", 0) not in in_order and ("r2", "wit", 0) not in in_order
    assert ("r3", "wit", 0) in in_order and in_order.count == 3


def test_keys_are_read_no_further_than_is_asked():
    read = []

    def keys():
        for number in range(100):
            read.append(number)
            yield f"{number:02d}", "ab", 0

    in_order = KeysInOrder(keys())
    assert ("07", "ab", 0) in in_order and ("07", "ba", 0) not in in_order and ("07", "ab", 1) not in in_order
    assert len(read) == 9
    assert ("09", "ab", 0) in in_order


def test_who_asks_about_an_earlier_comparison_is_told():
    in_order = KeysInOrder([("1", "ab", 0), ("2", "ab", 0)])
    assert ("2", "ab", 0) in in_order
    with pytest.raises(ValueError, match="asked about 1 after 2"):
        assert ("1", "ab", 0) in in_order


def test_an_order_that_is_asked_twice_is_one():
    assert left_of("1", ("ba", "ab", "ba"), set()) == ["ba", "ab"]
