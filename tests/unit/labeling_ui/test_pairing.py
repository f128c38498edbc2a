"""Pairs of responses that nobody has paired: connected, balanced, each once."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from labeling_ui.pairing import SOURCE, circle, pairs_of
from rewardkit.types import Message, Prompt, Response

IDS = st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=9, unique=True)


@given(IDS, st.integers(1, 40))
def test_each_pair_comes_once_and_in_a_drawn_order(ids, most):
    pairs = circle(ids, most)
    assert len(pairs) == min(most, len(ids) * (len(ids) - 1) // 2) == len({frozenset(pair) for pair in pairs})
    assert pairs == circle(ids[::-1], most) and all(a != b for a, b in pairs)


@given(IDS)
def test_as_many_pairs_as_responses_compare_each_twice(ids):
    seen = Counter(each for pair in circle(ids, len(ids)) for each in pair)
    assert set(seen.values()) == ({1} if len(ids) == 2 else {2})


@given(IDS)
def test_all_pairs_are_all_pairs(ids):
    assert {frozenset(pair) for pair in circle(ids, 100)} == {frozenset(pair) for pair in combinations(ids, 2)}


def test_responses_in_a_store_are_paired(store):
    prompts = [Prompt.of((Message(role="user", content=text),)) for text in ("one", "two", "alone")]
    models = iter("mnopqrstuvw")
    answers = zip(prompts, ("abcd", "xxy", "z"), strict=True)
    store.add(prompts)
    store.add([Response.of(prompt.id, text, model=next(models)) for prompt, texts in answers for text in texts])
    # Four texts make four neighbours on a circle; of the next three two are the same.
    pairs = list(pairs_of(store, 4))
    assert len(pairs) == 4 + 1 and pairs == list(pairs_of(store, 4))
    store.add(pairs)
    assert {each.comparison.source for each in store.comparisons()} == {SOURCE}
