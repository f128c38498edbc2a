"""Preference examples to padded batches of token ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rewardkit.reward_model.rendering import Renderer, Unrendered
from rewardkit.types import PreferenceExample


@dataclass(frozen=True)
class Encoded:
    """One comparison as token ids, with its target and the unit (prompt) that it belongs to."""

    ids_a: list[int]
    ids_b: list[int]
    p_a: float
    sample_weight: float
    unit: str


@dataclass(frozen=True)
class EncodedSet:
    """Comparisons ready for training, and what the length policy did to the rest.

    Attributes:
        items: The comparisons.
        truncated: Comparisons of which a text was cut.
        reasons: Why comparisons were left out, and how many for each reason.
        tokens: Tokens of the different texts, padding excluded.
    """

    items: list[Encoded]
    truncated: int
    reasons: Counter[str]
    tokens: int

    @property
    def dropped(self) -> int:
        """How many comparisons were left out."""
        return self.reasons.total()


def encode_examples(examples: Sequence[PreferenceExample], renderer: Renderer) -> EncodedSet:
    """Render examples; those of weight 0, and those that cannot be rendered, are left out and counted."""
    items: list[Encoded] = []
    truncated, reasons = 0, Counter[str]()
    for example in examples:
        preference = example.preference
        a, b = (renderer.render(example.prompt, text) for text in (example.response_a, example.response_b))
        if preference.sample_weight == 0:
            reasons["weight 0"] += 1
        elif isinstance(a, Unrendered):
            reasons[a.reason] += 1
        elif isinstance(b, Unrendered):
            reasons[b.reason] += 1
        else:
            truncated += a.truncated or b.truncated
            items.append(Encoded(a.ids, b.ids, preference.p_a, preference.sample_weight, preference.unit))
    texts = {tuple(ids) for item in items for ids in (item.ids_a, item.ids_b)}
    return EncodedSet(items, truncated, reasons, tokens=sum(map(len, texts)))


def unit_mean_weights(items: Sequence[Encoded]) -> list[Encoded]:
    """Scale sample weights to mean 1, so that they change emphasis and not the learning rate."""
    total = sum(item.sample_weight for item in items)
    factor = len(items) / total if total else 0.0
    return [replace(item, sample_weight=item.sample_weight * factor) for item in items]


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
    """Puts each different text of a batch into one row, however many comparisons it stands in.

    All comparisons of a ranking of N responses so cost N rows and not N·(N − 1) (Ouyang et al. 2022,
    arXiv:2203.02155, section 3.5, train on all pairs of a prompt in one batch for this reason, and
    because it overfits less than pairs spread over batches).
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """Collate comparisons.

        Returns:
            `input_ids` and `attention_mask` of the different texts, (texts, length); `row_a` and `row_b`,
            where the responses of each comparison stand among them, and `p_a` and `sample_weight`,
            each (batch,).
        """
        rows = list(dict.fromkeys(tuple(ids) for item in items for ids in (item.ids_a, item.ids_b)))
        place = {ids: row for row, ids in enumerate(rows)}
        ids, mask = pad(rows, self.pad_id)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "row_a": torch.tensor([place[tuple(i.ids_a)] for i in items]),
            "row_b": torch.tensor([place[tuple(i.ids_b)] for i in items]),
            "p_a": torch.tensor([i.p_a for i in items], dtype=torch.float32),
            "sample_weight": torch.tensor([i.sample_weight for i in items], dtype=torch.float32),
        }


class UnitSampler(Sampler[int]):
    """Shuffles units, and the comparisons within each, so that those of one unit come one after the other.

    Args:
        units: The unit of each item.
        seed: Of the order; every epoch has its own.
    """

    def __init__(self, units: Sequence[str], seed: int) -> None:
        self.units, self.seed, self.epoch = units, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; a resumed run finds the one it was in."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[int]:
        """Yield the items' indices in the epoch's order."""
        random = Random(f"{self.seed}:{self.epoch}")
        members: dict[str, list[int]] = {}
        for index, unit in enumerate(self.units):
            members.setdefault(unit, []).append(index)
        order = list(members)
        random.shuffle(order)
        for unit in order:
            random.shuffle(members[unit])
            yield from members[unit]
