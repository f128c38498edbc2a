"""Attention within a row's segments by matrix products, forward and backward: what a CPU does best.

torch's own attention computes bfloat16 no faster than float32 on a CPU, where products are three times as fast; and
autograd would take a row apart into segments and put their gradients together again, each as large as the row.
Scores are computed anew on the way back, as in FlashAttention (Dao et al. 2022, arXiv:2205.14135, algorithm 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rewardkit.packing import Segment, Span

SCORES = 1 << 19
"""Scores that are computed together: they and their exponentials stay in the processor's caches."""


class SegmentAttention(torch.autograd.Function):
    """Attention of a row in which each segment sees its own sequence only."""

    @staticmethod
    def forward(  # noqa: PLR0913 - what autograd is to know must be an argument
        context: Any, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scaling: float
    ) -> Tensor:
        """Attend.

        Args:
            context: Of autograd.
            query: `(heads, rows, width)`.
            key: `(key heads, columns, width)`.
            value: The same; its width may be another.
            segments: Of the row.
            scaling: Of the scores.

        Returns:
            `(rows, heads, width of the values)`.
        """
        found = value.new_empty(query.shape[1], query.shape[0], value.shape[-1])
        for rows, columns in _blocks(segments, query.shape[0]):
            weights, totals = _weights(query[:, slice(*rows)], _gathered(key, columns), scaling)
            # Each weight is rounded, so that they do not add up to 1.
            part = torch.bmm(weights, _gathered(value, columns)).float() / totals
            found[slice(*rows)] = part.view(query.shape[0], -1, part.shape[-1]).transpose(0, 1)
        context.save_for_backward(query, key, value, found)
        context.segments, context.scaling = segments, scaling
        return found

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        query, key, value, found = context.saved_tensors
        of_query = torch.empty_like(query)
        # What several segments see adds up, which bfloat16 would round each time.
        of_key, of_value = (torch.zeros_like(each, dtype=torch.float32) for each in (key, value))
        heads, groups = query.shape[0], key.shape[0]
        for rows, columns in _blocks(context.segments, heads):
            own = slice(*rows)
            keys, values = _gathered(key, columns), _gathered(value, columns)
            weights, totals = _weights(query[:, own], keys, context.scaling)
            weights = (weights / totals).to(weights.dtype)
            after = grad[own].transpose(0, 1).reshape(groups, -1, grad.shape[-1])
            said = found[own].transpose(0, 1).reshape(after.shape)
            _add(of_value, columns, torch.bmm(weights.transpose(1, 2), after))
            slopes = torch.bmm(after, values.transpose(1, 2)).float()
            slopes -= (after.float() * said.float()).sum(-1, keepdim=True)
            slopes = (slopes * weights).mul_(context.scaling).to(query.dtype)
            of_query[:, own] = torch.bmm(slopes, keys).view(heads, -1, query.shape[-1])
            asked = query[:, own].reshape(groups, -1, query.shape[-1])
            _add(of_key, columns, torch.bmm(slopes.transpose(1, 2), asked))
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None, None


def _blocks(segments: Sequence[Segment], heads: int) -> Iterator[tuple[Span, list[Span]]]:
    """Yield rows that attend together, and the columns that the last of them sees: little of what none must see."""
    for segment in segments:
        start, stop = segment.rows
        columns = sum(last - first for first, last in segment.columns)
        size = max(16, SCORES // (heads * columns))
        for first in range(start, stop, size):
            last = min(stop, first + size)
            # A segment's own rows are the last of its columns.
            (*before, (own, end)) = segment.columns
            yield (first, last), [*before, (own, end - (stop - last))]


def _gathered(rows: Tensor, columns: Sequence[Span]) -> Tensor:
    """Return the columns of `(key heads, columns, width)`."""
    parts = [rows[:, first:last] for first, last in columns]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _add(into: Tensor, columns: Sequence[Span], more: Tensor) -> None:
    """Add to the columns of `(key heads, columns, width)`."""
    at = 0
    for first, last in columns:
        into[:, first:last] += more[:, at : at + last - first]
        at += last - first


def _weights(query: Tensor, key: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Return the weights of keys before they are made to add up to 1, and their sums in float32.

    Args:
        query: `(heads, rows, width)`, the last rows of what is seen.
        key: `(key heads, columns, width)`, all that is seen.
        scaling: Of the scores.

    Returns:
        `(key heads, heads for each · rows, columns)`, and the sums of the last dimension.
    """
    (heads, rows, width), (groups, columns, _) = query.shape, key.shape
    grouped = query.reshape(groups, heads // groups * rows, width)
    scores = torch.baddbmm(grouped.new_empty(()), grouped, key.transpose(1, 2), beta=0, alpha=scaling)
    unseen = torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu_(1)
    scores.view(heads, rows, columns)[..., columns - rows :].masked_fill_(unseen, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights, weights.sum(-1, keepdim=True, dtype=torch.float32)
