"""Preference examples to batches of token ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rewardkit.packing import alike
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


@dataclass(frozen=True)
class Group:
    """Comparisons that are computed together, each different text of which stands in it once.

    Attributes:
        sequences: (texts,) token ids.
        row_a: Where the first responses stand among them, (comparisons,).
        row_b: Where the second ones do, (comparisons,).
        p_a: Soft targets, (comparisons,).
        sample_weight: (comparisons,).
    """

    sequences: list[list[int]]
    row_a: Tensor
    row_b: Tensor
    p_a: Tensor
    sample_weight: Tensor

    @classmethod
    def of(cls, items: Sequence[Encoded]) -> Group:
        """Put comparisons together.

        All comparisons of a ranking of N responses so cost N texts and not N·(N − 1) (Ouyang et al. 2022,
        arXiv:2203.02155, section 3.5, train on all pairs of a prompt in one batch for this reason, and because it
        overfits less than pairs spread over batches).
        """
        place: dict[tuple[int, ...], int] = {}
        for item in items:
            for ids in (item.ids_a, item.ids_b):
                place.setdefault(tuple(ids), len(place))
        return cls(
            [list(ids) for ids in place],
            torch.tensor([place[tuple(item.ids_a)] for item in items]),
            torch.tensor([place[tuple(item.ids_b)] for item in items]),
            torch.tensor([item.p_a for item in items], dtype=torch.float32),
            torch.tensor([item.sample_weight for item in items], dtype=torch.float32),
        )

    def __len__(self) -> int:
        return len(self.p_a)


class GroupCollator:
    """Cuts a batch into groups that fit a budget of tokens: what a large batch takes is a group's memory.

    Args:
        budget: Tokens of a group; what texts begin with in common counts once.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def __call__(self, items: Sequence[Encoded]) -> dict[str, list[Group]]:
        """Return the groups of a batch; those of one unit stand together as far as the budget lets them."""
        groups: list[list[Encoded]] = []
        tokens, before = 0, list[int]()
        for item in items:
            more = _own(before, item.ids_a) + _own(item.ids_a, item.ids_b)
            if not groups or tokens + more > self.budget:
                groups.append([])
                tokens, more = 0, _own([], item.ids_a) + _own(item.ids_a, item.ids_b)
            groups[-1].append(item)
            tokens, before = tokens + more, item.ids_b
        return {"groups": [Group.of(group) for group in groups]}


def _own(before: list[int], ids: list[int]) -> int:
    """Return how many tokens a text has that the one before it does not begin with."""
    return len(ids) - alike(before, ids)


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
