from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rewardkit.batching import LARGEST_BATCH
from rewardkit.packing import Segment, alike, group_of_first, groups, pack, packed_with_first, packs

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=9), min_size=1, max_size=8)


def test_what_sequences_share_stands_once():
    # Sorted: 1 2 3 4, then 1 2 5, then 1 9 9. The second adds 5 to the columns of 1 2, the third 9 9 to that of 1.
    found = pack([[1, 2, 5], [1, 9, 9], [1, 2, 3, 4]])
    assert found.ids == [1, 2, 3, 4, 5, 9, 9]
    assert found.positions == [0, 1, 2, 3, 2, 1, 2]
    assert found.ends == [4, 6, 3]
    assert found.segments == [
        Segment((0, 4), ((0, 4),), 2),
        Segment((4, 5), ((0, 2), (4, 5)), 0),
        Segment((5, 7), ((0, 1), (5, 7)), 1),
    ]


def test_what_is_kept_stands_before_the_row():
    # Columns count what is kept (7 7), and what follows it at once is one span with it.
    found = pack([[7, 7, 2], [7, 7, 1], [7, 7, 1]], kept=2)
    assert (found.ids, found.positions, found.ends) == ([1, 2], [2, 2], [1, 0, 0])
    assert found.segments == [Segment((0, 1), ((0, 3),), 1), Segment((1, 2), ((0, 2), (3, 4)), 0)]


@given(SEQUENCES, st.integers(0, 1))
def test_the_columns_of_a_segment_are_its_sequence(sequences, kept):
    if kept:
        sequences = [[9, *each] for each in sequences]
    found = pack(sequences, kept)
    columns = [*sequences[0][:kept], *found.ids]
    for sequence, end in zip(sequences, found.ends, strict=True):
        (segment,) = (each for each in found.segments if each.rows[0] <= end < each.rows[1])
        read = [columns[i] for start, stop in segment.columns for i in range(start, stop)]
        unread = segment.rows[1] - 1 - end
        assert read[: len(read) - unread] == sequence
        assert found.positions[end] == len(sequence) - 1
    # The fewest rows there can be: one for each different beginning.
    assert len(found.ids) == len({tuple(s[: n + 1]) for s in sequences for n in range(kept, len(s))})


@given(SEQUENCES, st.integers(1, 40), st.integers(0, 1))
def test_every_sequence_stands_in_one_pack_within_the_budget(sequences, budget, kept):
    if kept:
        sequences = [[9, *each] for each in sequences]
    groups = packs(sequences, budget, kept)
    assert sorted(index for group in groups for index in group) == list(range(len(sequences)))
    for group in groups:
        assert len(group) == 1 or len(pack([sequences[i] for i in group], kept).ids) <= budget


def test_no_pack_is_larger_than_what_the_vocabulary_bears():
    assert [len(group) for group in packs([[1, i] for i in range(40)], 1000)] == [LARGEST_BATCH, 40 - LARGEST_BATCH]
    assert packs([], 10) == []


@given(SEQUENCES, st.integers(1, 40))
def test_what_is_packed_with_the_first_fits_and_is_next_to_it(sequences, budget):
    chosen = packed_with_first(sequences, budget)
    assert 0 in chosen and len(set(chosen)) == len(chosen)
    assert len(chosen) == 1 or len(pack([sequences[place] for place in chosen]).ids) <= budget
    left = [place for place in range(len(sequences)) if place not in chosen]
    read = sorted(sequences[place] for place in chosen)
    assert not [place for place in left if read[0] < sequences[place] < read[-1]]


def test_with_the_first_goes_what_shares_most_with_it():
    sequences = [[5, 5, 5], [5, 9, 9], [5, 5, 8, 8], [1, 1, 1], [5, 5, 1]]
    assert sorted(packed_with_first(sequences, 4)) == [0, 4]
    assert sorted(packed_with_first(sequences, 6)) == [0, 2, 4]
    assert len(packed_with_first([[1, place] for place in range(40)], 1000)) == LARGEST_BATCH


@given(SEQUENCES, st.integers(1, 40), st.integers(0, 9))
def test_what_is_read_with_the_first_is_packed_or_padded_as_in_groups(sequences, budget, longest):
    chosen = group_of_first(sequences, budget, longest=longest)
    assert 0 in chosen and len({len(sequences[place]) <= longest for place in chosen}) == 1
    if len(sequences[0]) > longest:
        (whole,) = (group for group in groups(sequences, budget, longest=longest) if 0 in group)
        assert sorted(chosen) == sorted(whole)


def test_how_much_is_alike():
    assert [alike([1, 2, 3], [1, 2, 4]), alike([], [1]), alike([1, 2], [1, 2, 3]), alike([2], [1])] == [2, 0, 2, 0]
