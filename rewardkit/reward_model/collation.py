"""Preference examples to padded batches of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rewardkit.reward_model.rendering import Renderer
from rewardkit.types import PreferenceExample


@dataclass(frozen=True)
class Encoded:
    """One comparison as token ids, with its target."""

    ids_a: list[int]
    ids_b: list[int]
    p_a: float
    sample_weight: float


@dataclass(frozen=True)
class EncodedSet:
    """Comparisons ready for training, and what the length policy did to the rest."""

    items: list[Encoded]
    truncated: int
    dropped: int
    tokens: int


def encode_examples(examples: Sequence[PreferenceExample], renderer: Renderer) -> EncodedSet:
    """Render examples; those of weight 0 or too long under policy "drop" are left out and counted."""
    items, truncated, dropped, tokens = [], 0, 0, 0
    for example in examples:
        a = renderer.render(example.prompt, example.response_a)
        b = renderer.render(example.prompt, example.response_b)
        if a is None or b is None or example.preference.sample_weight == 0:
            dropped += 1
            continue
        truncated += a.truncated or b.truncated
        tokens += len(a.ids) + len(b.ids)
        items.append(Encoded(a.ids, b.ids, example.preference.p_a, example.preference.sample_weight))
    return EncodedSet(items, truncated, dropped, tokens)


def unit_mean_weights(items: Sequence[Encoded]) -> list[Encoded]:
    """Scale sample weights to mean 1, so that they change emphasis and not the learning rate."""
    total = sum(item.sample_weight for item in items)
    factor = len(items) / total if total else 0.0
    return [Encoded(i.ids_a, i.ids_b, i.p_a, i.sample_weight * factor) for i in items]


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad on the right.

    Returns:
        Token ids and attention mask, both (batch, longest).
    """
    longest = max(len(s) for s in sequences)
    ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask[row, : len(sequence)] = 1
    return ids, mask


class PairCollator:
    """Puts the A responses of a batch above its B responses: (2·batch, length)."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """Collate comparisons into ids and mask (2·batch, length), targets and weights (batch,)."""
        ids, mask = pad([i.ids_a for i in items] + [i.ids_b for i in items], self.pad_id)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "p_a": torch.tensor([i.p_a for i in items], dtype=torch.float32),
            "sample_weight": torch.tensor([i.sample_weight for i in items], dtype=torch.float32),
        }
