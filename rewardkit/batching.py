"""Which sequences go through a model together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

LARGEST_BATCH = 32


def token_budget_batches(lengths: Sequence[int], budget: int, turns: Sequence[int] = ()) -> list[list[int]]:
    """Group items so that each group, padded to its longest, fits a budget of tokens.

    Items are sorted by length, so that little is padding; one that exceeds the budget goes alone.

    Args:
        lengths: `(items,)` tokens of each item.
        budget: Tokens of a group, padding included.
        turns: Rising lengths, of none of which a group holds both items beyond it and others.

    Returns:
        Groups of positions in `lengths`, longest items first (what does not fit memory fails at once).
    """
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        turned = bisect_left(turns, lengths[index]) != bisect_left(turns, longest)
        if not groups or turned or len(groups[-1]) == LARGEST_BATCH or longest * (len(groups[-1]) + 1) > budget:
            groups.append([])
            longest = lengths[index]
        groups[-1].append(index)
    return groups


def common_prefix(sequences: Sequence[list[int]]) -> int:
    """Return how many leading tokens all sequences share, leaving each at least one of its own."""
    first, last = min(sequences), max(sequences)
    most = min(len(sequence) for sequence in sequences) - 1
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), most)
    return min(shared, most)
