"""What the labels of a planned study would be worth: studies are simulated, and their aggregates held to the levels.

The aggregate is the majority of the votes, a draw being half right. The aggregator `anchored` decides just so where
`strength_scale` is 0: each vote is worth the same log odds there.

What is simplified: everybody does the same share of the work, sides are shuffled, gold lies evenly over each one's
work and is as difficult as the rest, items on which people disagree get no further label, and labels of who is left
out are not replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardkit.errors import DataError
from rewardkit.simulate_config import SimulatedAnnotatorConfig, StudyConfig
from rewardkit.simulation.crowd import Array, Crowd, Integers, Pairs

SAMPLE = 500
MOMENTS = 20
"""Pairs, at most, and moments over which somebody's own accuracy is averaged."""


@dataclass(frozen=True)
class Estimate:
    """A share over simulated studies.

    Attributes:
        value: Its mean.
        low: 2.5 % of the studies have less.
        high: 2.5 % of the studies have more.
        error: Standard error of the mean.
        n_studies: How many studies were simulated.
        n_items: How many items with a better response a study has, on average.
    """

    value: float
    low: float
    high: float
    error: float
    n_studies: int
    n_items: int


@dataclass(frozen=True)
class LeftOut:
    """People who are left out for what they answered on gold, means over studies.

    Attributes:
        rightly: They take the better response less often than they should.
        wrongly: They take it often enough.
        missed: People who should have been left out and were not.
    """

    rightly: float
    wrongly: float
    missed: float


@dataclass(frozen=True)
class Sized:
    """What one way to spend the budget would bring.

    Attributes:
        overlap: Labels that each item gets.
        gold: Share of gold.
        items: Items that can be paid.
        labels: Labels, gold included.
        cost: Of all labels.
        hours: Of all people together.
        accuracy: Of the aggregate, where one response is better; None without items.
        accuracy_without: The same without those who fail gold; None without gold.
        left_out: Who they are; None without gold.
    """

    overlap: int
    gold: float
    items: int
    labels: int
    cost: float
    hours: float
    accuracy: Estimate | None = None
    accuracy_without: Estimate | None = None
    left_out: LeftOut | None = None


@dataclass(frozen=True)
class _Planned:
    """One way to spend the budget, with numbers of items and gold answers."""

    overlap: int
    items: int
    gold_answers: int

    @property
    def labels(self) -> int:
        return self.items * self.overlap + self.gold_answers

    @classmethod
    def of(cls, study: StudyConfig, overlap: int, gold: float) -> _Planned:
        # The tiny share keeps what is paid to the last penny from being rounded away.
        paid = math.floor(study.budget * (1 - gold) / (study.price * overlap) * (1 + 1e-12))
        items = min(study.items, paid)
        return cls(overlap, items, math.floor(items * overlap * gold / (1 - gold) * (1 + 1e-12)))


def size(study: StudyConfig, annotators: Sequence[SimulatedAnnotatorConfig], pairs: Pairs, seed: int) -> list[Sized]:
    """Tell what each overlap and share of gold would bring.

    Args:
        study: What is planned.
        annotators: Whom the people are like.
        pairs: The comparisons of which items are drawn, with replacement.
        seed: Of all draws.

    Raises:
        DataError: No pair has a better response.
    """
    if not len(pairs.decided):
        raise DataError("no response is better than another", fix="import responses that differ in their level")
    crowd = Crowd.of(annotators, study.people)
    return [
        _size(study, crowd, pairs, (overlap, gold), np.random.default_rng([seed, row, column]))
        for row, overlap in enumerate(study.overlap)
        for column, gold in enumerate(study.gold)
    ]


def stated_pairs(study: StudyConfig, count: int, seed: int) -> Pairs:
    """Draw comparisons from the distribution that a config states."""
    draws = np.random.default_rng([seed, 1])
    gaps = draws.choice(np.array(study.level_differences), count)
    return Pairs(gaps, draws.normal(0.0, study.length_spread, count))


def _size(
    study: StudyConfig, crowd: Crowd, pairs: Pairs, wanted: tuple[int, float], draws: np.random.Generator
) -> Sized:
    overlap, gold = wanted
    planned = _Planned.of(study, overlap, gold)
    labels = planned.labels
    hours = labels * float(crowd.seconds.mean()) / 3600
    sized = Sized(overlap, gold, planned.items, labels, labels * study.price, hours)
    if not planned.items:
        return sized
    poor = _own_accuracy(crowd, pairs.decided, labels / len(crowd), draws) < study.least_gold_accuracy
    studies = [_simulate(planned, crowd, pairs, study, draws) for _ in range(study.replicates)]
    everybody, without = (np.array([getattr(each, name) for each in studies]) for name in ("everybody", "without"))
    n_items = round(planned.items * len(pairs.decided) / len(pairs))
    accuracy = _estimate(everybody, n_items)
    if not planned.gold_answers:
        return Sized(**{**vars(sized), "accuracy": accuracy})
    out = np.array([each.out for each in studies])
    counts = [float(found.sum(axis=1).mean()) for found in (out & poor, out & ~poor, ~out & poor)]
    more = {"accuracy_without": _estimate(without, n_items), "left_out": LeftOut(*counts)}
    return Sized(**{**vars(sized), "accuracy": accuracy, **more})


@dataclass(frozen=True)
class _Outcome:
    """One simulated study: accuracy with everybody, without who failed gold, and who did."""

    everybody: float
    without: float
    out: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _simulate(
    planned: _Planned, crowd: Crowd, pairs: Pairs, study: StudyConfig, draws: np.random.Generator
) -> _Outcome:
    chosen = pairs.at(draws.integers(0, len(pairs), planned.items))
    who = _deal(planned.items, planned.overlap, len(crowd), draws)
    slots = who.ravel()
    share = planned.labels / (planned.items * planned.overlap)
    answered = _turns(slots) * share
    votes = crowd.votes(slots, chosen.at(np.repeat(np.arange(planned.items), planned.overlap)), answered, draws)
    out = _failed(planned, crowd, pairs.decided, study, draws)
    kept = votes * ~out[slots]
    everybody, without = (_accuracy(each.reshape(who.shape), chosen.gaps > 0) for each in (votes, kept))
    return _Outcome(everybody, without, out)


def _deal(items: int, overlap: int, people: int, draws: np.random.Generator) -> Integers:
    """Give each item to different people and everybody as much as others, (items, overlap)."""
    at_once = people // overlap
    rounds = -(-items // at_once)
    permuted = draws.permuted(np.tile(np.arange(people), (rounds, 1)), axis=1)
    return permuted[:, : at_once * overlap].reshape(-1, overlap)[:items]


def _turns(who: Integers) -> Array:
    """Return how many answers each one's annotator has given before it."""
    order = np.argsort(who, kind="stable")
    ordered = who[order]
    starts = np.searchsorted(ordered, ordered)
    turns = np.empty(len(who))
    turns[order] = np.arange(len(who)) - starts
    return turns


def _failed(
    planned: _Planned, crowd: Crowd, decided: Pairs, study: StudyConfig, draws: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell who has fewer right answers on gold than they should; a tie is not right, and without gold nobody fails."""
    people, count = len(crowd), planned.gold_answers
    each = np.full(people, count // people)
    each[draws.permutation(people)[: count % people]] += 1
    who = np.repeat(np.arange(people), each)
    answered = (_turns(who) + 0.5) / np.maximum(each[who], 1) * (planned.labels / people)
    votes = crowd.votes(who, decided.at(draws.integers(0, len(decided), count)), answered, draws)
    right = np.bincount(who, weights=votes > 0, minlength=people)
    return np.asarray((each > 0) & (right < study.least_gold_accuracy * each - 1e-9))


def _accuracy(votes: Array, decided: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Return how often the majority takes the better response, a draw being half right; NaN where none is better."""
    majority = np.sign(votes[decided].sum(axis=1))
    return float((majority + 1).mean() / 2) if len(majority) else math.nan


def _own_accuracy(crowd: Crowd, decided: Pairs, answers: float, draws: np.random.Generator) -> Array:
    sample = decided if len(decided) <= SAMPLE else decided.at(draws.permutation(len(decided))[:SAMPLE])
    moments = (np.arange(MOMENTS) + 0.5) / MOMENTS * answers
    return crowd.accuracy(sample, moments)


def _estimate(accuracies: Array, items: int) -> Estimate | None:
    found = accuracies[np.isfinite(accuracies)]
    if not len(found):
        return None
    low, high = np.quantile(found, (0.025, 0.975))
    error = float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    return Estimate(float(found.mean()), float(low), float(high), error, len(found), items)
