"""Rewards for prompts and responses: length-sorted, batched by a token budget, in the order asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rewardkit.progress import Advance
from rewardkit.reward_model.collation import pad
from rewardkit.reward_model.folder import LoadedModel
from rewardkit.types import Message

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Rewards:
    """Rewards of a list of conversations.

    Attributes:
        values: Raw rewards, (n,); NaN only where `dropped`.
        truncated: Where a text was cut to the model's length, (n,).
        dropped: Where the length policy left the item out, (n,).
    """

    values: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    dropped: NDArray[np.bool_]


def reward(
    model: LoadedModel,
    conversations: Sequence[tuple[Sequence[Message], str]],
    *,
    batch_tokens: int = BATCH_TOKENS,
    advance: Advance | None = None,
) -> Rewards:
    """Compute the reward of each (prompt, response).

    Args:
        model: A loaded reward model.
        conversations: Prompts and responses.
        batch_tokens: Most tokens in one forward pass, padding included.
        advance: Called with the number of conversations done.
    """
    rendered = [model.renderer.render(prompt, response) for prompt, response in conversations]
    values = np.full(len(rendered), np.nan)
    sequences = {i: r.ids for i, r in enumerate(rendered) if r is not None}
    model.network.eval()
    for batch in token_batches({i: len(ids) for i, ids in sequences.items()}, batch_tokens):
        values[batch] = _forward(model, [sequences[i] for i in batch])
        if advance:
            advance(len(batch))
    return Rewards(
        values=values,
        truncated=np.array([r is not None and r.truncated for r in rendered], dtype=bool),
        dropped=np.array([r is None for r in rendered], dtype=bool),
    )


def token_batches(lengths: dict[int, int], batch_tokens: int) -> Iterator[list[int]]:
    """Group items of like length, longest first, so that length × count stays within the budget.

    A single item longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for item in sorted(lengths, key=lambda i: (-lengths[i], i)):
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        if not batch:
            longest = lengths[item]
        batch.append(item)
    if batch:
        yield batch


@torch.inference_mode()
def _forward(model: LoadedModel, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    ids, mask = pad(sequences, model.tokenizer.pad_token_id)
    device = model.network.device
    values: NDArray[np.float64] = model.network(ids.to(device), mask.to(device)).double().cpu().numpy()
    return values
