"""Token sequences that begin alike, in one row without padding: what they share goes through a model once.

Sequences in sorted order share the most with the one before them, so that each adds a segment: what it does not share.
A token attends to the tokens of its own sequence, wherever they stand in the row (see `attending`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewardkit.batching import LARGEST_BATCH, token_budget_batches

Span = tuple[int, int]


@dataclass(frozen=True)
class Segment:
    """What a sequence adds to a row.

    Attributes:
        rows: First row and the one after the last.
        columns: Where the tokens of its sequence stand, from the first to its own last, as spans: first what is
            kept, then the row. Spans that follow each other are one.
        sequence: Which one it is.
    """

    rows: Span
    columns: tuple[Span, ...]
    sequence: int


@dataclass(frozen=True)
class Pack:
    """Sequences in one row.

    Attributes:
        ids: `(rows,)` token ids.
        positions: `(rows,)` of each in its sequence.
        ends: `(sequences,)` rows of their last tokens.
        segments: In the order of the rows.
        kept: How many tokens all sequences begin with that are not in the row.
    """

    ids: list[int]
    positions: list[int]
    ends: list[int]
    segments: list[Segment]
    kept: int


def pack(sequences: Sequence[list[int]], kept: int = 0) -> Pack:
    """Put sequences into one row.

    Args:
        sequences: `(sequences,)` token ids, each longer than what is kept.
        kept: How many tokens they begin with that are not to be in the row.
    """
    found = Pack([], [], [0] * len(sequences), [], kept)
    path, before = _path([], (0, kept)), sequences[0][:kept]
    for index in sorted(range(len(sequences)), key=sequences.__getitem__):
        sequence = sequences[index]
        shared, start = alike(before, sequence), len(found.ids)
        if own := sequence[shared:]:
            stop = start + len(own)
            path = _path(_cut(path, shared), (kept + start, kept + stop))
            found.segments.append(Segment((start, stop), tuple(path), index))
            found.ids.extend(own)
            found.positions.extend(range(shared, len(sequence)))
        found.ends[index] = path[-1][1] - 1 - kept
        before = sequence
    return found


def packs(sequences: Sequence[list[int]], budget: int, kept: int = 0) -> list[list[int]]:
    """Group sequences so that each group, packed, fits a budget of tokens; one that exceeds it goes alone.

    Args:
        sequences: `(sequences,)` token ids.
        budget: Rows of a pack.
        kept: How many tokens they begin with that are not in the rows.

    Returns:
        Groups of positions in `sequences`; those that share most stand together.
    """
    groups: list[list[int]] = []
    rows = 0
    before: list[int] = []
    for index in sorted(range(len(sequences)), key=sequences.__getitem__):
        more = len(sequences[index]) - max(kept, alike(before, sequences[index]))
        if not groups or len(groups[-1]) == LARGEST_BATCH or rows + more > budget:
            groups.append([])
            rows, more = 0, len(sequences[index]) - kept
        groups[-1].append(index)
        rows, before = rows + more, sequences[index]
    return groups


def packed_with_first(sequences: Sequence[list[int]], budget: int) -> list[int]:
    """Choose what is best packed with the first of some sequences: those around it in sorted order, within a budget.

    Args:
        sequences: `(sequences,)` token ids.
        budget: Rows of the pack; a first one that exceeds it goes alone.

    Returns:
        Positions in `sequences`, 0 among them.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    low = high = order.index(0)
    rows = len(sequences[0])
    while high - low + 1 < LARGEST_BATCH:
        # What each neighbour would add is what it does not share with the end that it stands at.
        ends = [(low, low - 1)] * (low > 0) + [(high, high + 1)] * (high + 1 < len(order))
        costs = [(_added(sequences[order[end]], sequences[order[next_]]), next_) for end, next_ in ends]
        more, chosen = min(costs, default=(budget, 0))
        if rows + more > budget:
            break
        rows, low, high = rows + more, min(low, chosen), max(high, chosen)
    return order[low : high + 1]


def _added(stands: list[int], more: list[int]) -> int:
    return len(more) - alike(stands, more)


def groups(
    sequences: Sequence[list[int]], budget: int, *, longest: int, kept: int = 0, turns: Sequence[int] = ()
) -> list[list[int]]:
    """Group sequences for packs, and those that are too long for one for padded rows.

    Args:
        sequences: `(sequences,)` token ids.
        budget: Tokens of a group, padding included.
        longest: Tokens of a sequence in a pack, at most.
        kept: How many tokens those in packs begin with that are not in the rows.
        turns: Of the model, for padded rows; see `token_budget_batches`.

    Returns:
        Groups of positions in `sequences`, in each of which all are packed or all are padded.
    """
    short = [i for i, sequence in enumerate(sequences) if len(sequence) <= longest]
    rest = [i for i, sequence in enumerate(sequences) if len(sequence) > longest]
    packed = packs([sequences[i] for i in short], budget, kept)
    padded = token_budget_batches([len(sequences[i]) for i in rest], budget, turns)
    return [*([short[i] for i in group] for group in packed), *([rest[i] for i in group] for group in padded)]


def group_of_first(
    sequences: Sequence[list[int]], budget: int, *, longest: int, turns: Sequence[int] = ()
) -> list[int]:
    """Choose what is best read together with the first of some sequences, as `groups` would: packed, or padded.

    Returns:
        Positions in `sequences`, 0 among them.
    """
    short = len(sequences[0]) <= longest
    places = [i for i, sequence in enumerate(sequences) if (len(sequence) <= longest) == short]
    same = [sequences[i] for i in places]
    padded = [] if short else token_budget_batches([len(sequence) for sequence in same], budget, turns)
    chosen = packed_with_first(same, budget) if short else next(group for group in padded if 0 in group)
    return [places[i] for i in chosen]


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def _path(path: list[Span], more: Span) -> list[Span]:
    if path and path[-1][1] == more[0]:
        return [*path[:-1], (path[-1][0], more[1])]
    return [*path, more] if more[1] > more[0] else path


def _cut(path: list[Span], length: int) -> list[Span]:
    """Return the spans of the first tokens of a path."""
    found: list[Span] = []
    for start, stop in path:
        if length > 0:
            found.append((start, min(stop, start + length)))
        length -= stop - start
    return found
