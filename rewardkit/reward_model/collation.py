"""Preference examples to batches of token ids."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from random import Random
from statistics import fmean, pstdev

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.utils.data import Sampler

from rewardkit.packing import alike
from rewardkit.reward_model.rendering import Rendered, Renderer, Unrendered
from rewardkit.types import PreferenceExample

MOST_SLOPE = 10.0
"""Nats of a doubling: where the longer response always wins, no slope is the best."""


@dataclass(frozen=True)
class Rated:
    """A text of a comparison, or the beginning of one, with what it was rated on one criterion.

    Attributes:
        ids: Token ids.
        column: Which criterion.
        value: From 0 to 1; in a batch, in units of the criterion's spread from its mean.
    """

    ids: list[int]
    column: int
    value: float


@dataclass(frozen=True)
class Encoded:
    """One comparison as token ids, with its target, the unit (prompt) that it belongs to, and its texts' ratings.

    Attributes:
        doublings: How many times the first response is longer than the second, in powers of two of characters.
    """

    ids_a: list[int]
    ids_b: list[int]
    p_a: float
    sample_weight: float
    unit: str
    rated: tuple[Rated, ...] = ()
    p_tie: float = 0.0
    doublings: float = 0.0

    @property
    def texts(self) -> list[list[int]]:
        """All that is run for it; beginnings of a text stand beside it."""
        own = [self.ids_a, self.ids_b]
        more = [each.ids for each in self.rated if each.ids not in own]
        return sorted(own + more) if more else own


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


def encode_examples(
    examples: Sequence[PreferenceExample], renderer: Renderer, criteria: Sequence[str] = ()
) -> EncodedSet:
    """Render examples; those of weight 0, and those that cannot be rendered, are left out and counted.

    Args:
        examples: Soft preferences with their texts.
        renderer: Of the model.
        criteria: Those whose ratings are wanted, in the order of the head's outputs.
    """
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
            rated = tuple(_rated(example, (a, b), renderer, criteria)) if criteria else ()
            target = preference.p_a, preference.sample_weight, preference.unit
            doublings = math.log2(len(example.response_a) / len(example.response_b))
            items.append(Encoded(a.ids, b.ids, *target, rated=rated, p_tie=preference.p_tie, doublings=doublings))
    texts = {tuple(ids) for item in items for ids in item.texts}
    return EncodedSet(items, truncated, reasons, tokens=sum(map(len, texts)))


def _rated(
    example: PreferenceExample, sides: tuple[Rendered, Rendered], renderer: Renderer, criteria: Sequence[str]
) -> Iterator[Rated]:
    """Yield the ratings of an example's texts, one for each beginning and criterion: a rating of the whole comes first.

    Args:
        example: The comparison.
        sides: Its texts as ids.
        renderer: Of the model.
        criteria: Those that are wanted. A text that is cut is another text than was rated, and has no rating.
    """
    column = {name: place for place, name in enumerate(criteria)}
    texts = (example.response_a, example.ratings_a, sides[0]), (example.response_b, example.ratings_b, sides[1])
    for text, ratings, whole in texts:
        wanted = sorted((r for r in ratings if r.criterion in column), key=lambda r: (r.end is not None, r.end or 0))
        known = {None: whole, len(text.rstrip()): whole, len(text): whole}
        seen = set()
        for rating in wanted:
            if rating.end not in known:
                found = renderer.render(example.prompt, text[: rating.end])
                known[rating.end] = found if isinstance(found, Rendered) else Rendered([], truncated=True)
            rendered, place = known[rating.end], column[rating.criterion]
            if not rendered.truncated and (tuple(rendered.ids), place) not in seen:
                seen.add((tuple(rendered.ids), place))
                yield Rated(rendered.ids, place, rating.value)


def criterion_scales(items: Sequence[Encoded], count: int) -> list[tuple[float, float]]:
    """Return mean and spread of each criterion's ratings; of one that is always rated alike the spread is 1.

    Args:
        items: Comparisons; a text that stands in several counts once.
        count: Criteria.
    """
    found: list[dict[tuple[int, ...], float]] = [{} for _ in range(count)]
    for each in (each for item in items for each in item.rated):
        found[each.column][tuple(each.ids)] = each.value
    values = [list(by_text.values()) for by_text in found]
    return [(fmean(each), pstdev(each) or 1.0) if each else (0.0, 1.0) for each in values]


def in_spreads(items: Sequence[Encoded], scales: Sequence[tuple[float, float]]) -> list[Encoded]:
    """Return comparisons whose ratings are told in units of each criterion's spread from its mean."""

    def told(each: Rated) -> Rated:
        mean, spread = scales[each.column]
        return replace(each, value=(each.value - mean) / spread)

    return [replace(item, rated=tuple(map(told, item.rated))) for item in items]


def length_slope(items: Sequence[Encoded]) -> float:
    """Return what a doubling of length is worth to the annotators, in nats, if nothing else counted.

    The maximum-likelihood slope of p_a = sigmoid(slope · doublings): as in length-controlled AlpacaEval (Dubois et al.
    2024, arXiv:2404.04475), the model is left to explain what length does not.
    """
    x, y, w = (np.array([getattr(item, name) for item in items]) for name in ("doublings", "p_a", "sample_weight"))

    def loss(slope: float) -> float:
        return float((w * (np.logaddexp(0.0, slope * x) - y * slope * x)).sum())

    return float(minimize_scalar(loss, bounds=(-MOST_SLOPE, MOST_SLOPE), method="bounded").x) if x.any() else 0.0


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
        p_tie: Probabilities of a tie, (comparisons,).
        doublings: How much longer the first responses are, (comparisons,).
        cells: What was rated: the text, the criterion, and the comparison that it counts for, (3, ratings).
        ratings: In units of the criteria's spreads, (ratings,).
    """

    sequences: list[list[int]]
    row_a: Tensor
    row_b: Tensor
    p_a: Tensor
    sample_weight: Tensor
    p_tie: Tensor
    doublings: Tensor
    cells: Tensor
    ratings: Tensor

    @classmethod
    def of(cls, items: Sequence[Encoded]) -> Group:
        """Put comparisons together.

        All comparisons of a ranking of N responses so cost N texts and not N·(N − 1) (Ouyang et al. 2022,
        arXiv:2203.02155, section 3.5, train on all pairs of a prompt in one batch for this reason, and because it
        overfits less than pairs spread over batches).
        """
        place: dict[tuple[int, ...], int] = {}
        for item in items:
            for ids in item.texts:
                place.setdefault(tuple(ids), len(place))
        cells = [(place[tuple(r.ids)], r.column, number) for number, item in enumerate(items) for r in item.rated]
        return cls(
            [list(ids) for ids in place],
            torch.tensor([place[tuple(item.ids_a)] for item in items]),
            torch.tensor([place[tuple(item.ids_b)] for item in items]),
            torch.tensor([item.p_a for item in items], dtype=torch.float32),
            torch.tensor([item.sample_weight for item in items], dtype=torch.float32),
            torch.tensor([item.p_tie for item in items], dtype=torch.float32),
            torch.tensor([item.doublings for item in items], dtype=torch.float32),
            torch.tensor(cells, dtype=torch.long).reshape(-1, 3).t(),
            torch.tensor([each.value for item in items for each in item.rated], dtype=torch.float32),
        )

    def __len__(self) -> int:
        return len(self.p_a)

    def to(self, device: torch.device) -> Group:
        """Return the same group with its numbers elsewhere."""
        sequences, *numbers = vars(self).values()
        return Group(sequences, *(each.to(device) for each in numbers))


class GroupCollator:
    """Cuts a batch into groups that fit a budget of tokens: what a large batch takes is a group's memory.

    Args:
        budget: Tokens of a group; a text, and what texts begin with in common, counts once.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def __call__(self, items: Sequence[Encoded]) -> dict[str, list[Group]]:
        """Return the groups of a batch; those of one unit stand together as far as the budget lets them."""
        groups: list[list[Encoded]] = []
        for _, unit in groupby(items, key=lambda item: item.unit):
            whole = list(unit)
            # A unit that needs several groups is cut wherever one is full.
            for part in [whole] if _rows(whole) <= self.budget else [[item] for item in whole]:
                if groups and _rows([*groups[-1], *part]) <= self.budget:
                    groups[-1] += part
                else:
                    groups.append(part)
        return {"groups": [Group.of(group) for group in groups]}


def _rows(items: Sequence[Encoded]) -> int:
    """Return how many tokens the texts of comparisons have together when what they begin with in common counts once."""
    texts = sorted(ids for item in items for ids in item.texts)
    return sum(len(ids) - alike(before, ids) for before, ids in pairwise([[], *texts]))


class UnitSampler(Sampler[int]):
    """Shuffles units, and the comparisons within each, so that a batch holds few different texts.

    The comparisons of a unit come one after the other, those among its first texts first. A batch begins with the unit
    whose turn it is; what is left of it is filled with the largest unit that has room in it, so that few are cut.

    Args:
        items: The comparisons.
        seed: Of the order; every epoch has its own.
        batch: Comparisons of a batch, those of all processes together.
    """

    def __init__(self, items: Sequence[Encoded], seed: int, batch: int) -> None:
        self.items, self.seed, self.batch, self.epoch = items, seed, batch, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; a resumed run finds the one it was in."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        """Yield the items' indices in the epoch's order."""
        random = Random(f"{self.seed}:{self.epoch}")
        # By size, each with its place in the shuffled order.
        waiting: dict[int, deque[tuple[int, list[int]]]] = {}
        for place, unit in enumerate(self._units(random)):
            waiting.setdefault(len(unit), deque()).append((place, unit))
        room = self.batch
        while waiting:
            fitting = [size for size in waiting if size <= room < self.batch]
            size = max(fitting) if fitting else min(waiting, key=lambda size: waiting[size][0][0])
            yield from waiting[size].popleft()[1]
            if not waiting[size]:
                del waiting[size]
            room = (room - size) % self.batch or self.batch

    def _units(self, random: Random) -> list[list[int]]:
        """Return the units in a random order, each with its comparisons by the random places of their texts."""
        members: dict[str, list[int]] = {}
        for index, item in enumerate(self.items):
            members.setdefault(item.unit, []).append(index)
        units = list(members.values())
        random.shuffle(units)
        return [self._ordered(unit, random) for unit in units]

    def _ordered(self, unit: list[int], random: Random) -> list[int]:
        """Return comparisons so that the first of them, however many, are among few texts."""
        sides = {index: (tuple(self.items[index].ids_a), tuple(self.items[index].ids_b)) for index in unit}
        texts = list(dict.fromkeys(ids for pair in sides.values() for ids in pair))
        random.shuffle(texts)
        place = {ids: number for number, ids in enumerate(texts)}
        return sorted(unit, key=lambda index: sorted((place[ids] for ids in sides[index]), reverse=True))
