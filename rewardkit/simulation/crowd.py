"""Many simulated annotators at once: the rules of `rewardkit.simulation.personas` over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.personas import TIRED_AFTER, TYPICAL_SECONDS

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SPAM = {"none": 0, "first": 1, "second": -1, "random": 2}


@dataclass(frozen=True)
class Pairs:
    """Comparisons, seen from the response that is better.

    Attributes:
        gaps: Level of the better response less that of the other, (pairs,); 0 where none is better.
        doublings: How many times the length of the better doubles that of the other, (pairs,).
    """

    gaps: Array
    doublings: Array

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.gaps)

    def at(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Pairs:
        """Return some of them."""
        return Pairs(self.gaps[places], self.doublings[places])

    @property
    def decided(self) -> Pairs:
        """Those of which one response is better."""
        return self.at(self.gaps > 0)


@dataclass(frozen=True)
class Crowd:
    """What annotators are like, one entry for each: see `SimulatedAnnotatorConfig`.

    Attributes:
        spam: 0 for none, 1 and −1 for who always takes the first or the second, 2 for either.
        seconds: Mean time for an answer.
    """

    reliability: Array
    position_bias: Array
    length_bias: Array
    lapse: Array
    tie_width: Array
    fatigue: Array
    spam: Integers
    seconds: Array

    @classmethod
    def of(cls, annotators: Sequence[SimulatedAnnotatorConfig], people: int) -> Crowd:
        """Deal annotators out in turn until there are as many people as wanted."""
        dealt = [annotators[number % len(annotators)] for number in range(people)]

        def values(name: str) -> Array:
            return np.array([getattr(each, name) for each in dealt], dtype=np.float64)

        names = ("reliability", "position_bias", "length_bias", "lapse", "tie_width", "fatigue")
        medians = np.array([each.seconds or TYPICAL_SECONDS for each in dealt])
        # The mean of a log-normal distribution, of which the median and the spread are stated.
        seconds = medians * np.exp(values("seconds_spread") ** 2 / 2)
        spam = np.array([SPAM[each.spam] for each in dealt], dtype=np.int64)
        return cls(**{name: values(name) for name in names}, spam=spam, seconds=seconds)

    def __len__(self) -> int:
        """Return how many people there are."""
        return len(self.reliability)

    def votes(self, who: Integers, pairs: Pairs, answered: Array, draws: np.random.Generator) -> Array:
        """Draw votes.

        Args:
            who: Index of the annotator of each vote, (votes,).
            pairs: What each vote is about, (votes,).
            answered: How many answers its annotator has given before, (votes,).
            draws: Of all that is random, the side of the better response included.

        Returns:
            1 for the better response, −1 for the other, 0 for a tie, (votes,).
        """
        count = len(who)
        first = _coins(draws, count)
        logit = self._logit(who, pairs, answered, first)
        vote = np.where(draws.random(count) < expit(logit), 1.0, -1.0)
        vote[np.abs(logit) < self.tie_width[who]] = 0.0
        spam, coin = self.spam[who], _coins(draws, count)
        random = (draws.random(count) < self.lapse[who]) | (spam == 2)
        vote[random] = coin[random]
        always = np.abs(spam) == 1
        vote[always] = (spam * first)[always]
        return vote

    def accuracy(self, pairs: Pairs, answered: Array) -> Array:
        """Return each one's probability to take the better response, over pairs and moments of their work, (people,).

        Args:
            pairs: Of which one response is better.
            answered: Numbers of answers before; each is as frequent as the others.
        """
        who = np.arange(len(self))[:, None, None]
        found = np.zeros(len(self))
        for first in (-1.0, 1.0):
            logit = self._logit(who, Pairs(pairs.gaps[:, None], pairs.doublings[:, None]), answered, np.array(first))
            right = np.where(np.abs(logit) < self.tie_width[who], 0.0, expit(logit)).mean(axis=(1, 2))
            found += 0.5 * (self.lapse / 2 + (1 - self.lapse) * right)
        return np.where(self.spam == 0, found, 0.5)

    def _logit(self, who: Integers, pairs: Pairs, answered: Array, first: Array) -> Array:
        tired = np.asarray(1.0 - self.fatigue[who] * answered / TIRED_AFTER).clip(0.0)
        bias = self.position_bias[who] * first + self.length_bias[who] * pairs.doublings
        return np.asarray(self.reliability[who] * tired * pairs.gaps + bias, dtype=np.float64)


def _coins(draws: np.random.Generator, count: int) -> Array:
    return np.where(draws.random(count) < 0.5, 1.0, -1.0)
