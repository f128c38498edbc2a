from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rewardkit.batching import LARGEST_BATCH, common_prefix, token_budget_batches


def test_groups_are_of_similar_length_and_fit_the_budget():
    # 9 alone (10 is the budget: 2 x 9 > 10), then 5 and 4 (2 x 5), then 2 and 1.
    assert token_budget_batches([2, 9, 5, 1, 4], 10) == [[1], [2, 4], [0, 3]]


def test_items_beyond_a_length_stand_apart_from_others():
    assert token_budget_batches([3, 9, 5, 4, 8], 100, (4, 8)) == [[1], [4, 2], [3, 0]]


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(1, 200))
def test_every_item_stands_in_one_group_within_the_budget(lengths, budget):
    groups = token_budget_batches(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert len(group) == 1 or longest * len(group) <= budget
        assert len(group) <= LARGEST_BATCH


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=6))
def test_the_prefix_is_common_and_leaves_something_of_each(sequences):
    length = common_prefix(sequences)
    assert all(sequence[:length] == sequences[0][:length] for sequence in sequences)
    assert length < min(map(len, sequences))
    longer = {tuple(sequence[: length + 1]) for sequence in sequences}
    assert len(longer) > 1 or length + 1 == min(map(len, sequences))
