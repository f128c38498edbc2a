"""Whether what stands first, or is longer, is preferred: of comparisons, of each pair of a ranking, and of ratings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np

from labeling_ui.answered import Answered
from rewardkit.aggregation.anchor import mean_interval

FEWEST = 4
"""Ratings; of fewer a correlation tells nothing."""


@dataclass(frozen=True)
class Correlation:
    """How far ratings grow with the length of what is rated.

    Attributes:
        value: Pearson's r of an answer's mean rating and the logarithm of the length; None where one does not vary.
        n: Ratings, each the mean over the criteria.
        prompts: How many prompts these are about.
        interval: 95 %, clustered by prompt; all that is possible where there are fewer than two.
    """

    value: float | None
    n: int
    prompts: int
    interval: tuple[float, float] = (-1.0, 1.0)


def first_cases(answer: Answered) -> Iterator[bool | None]:
    """Yield whether the response that stood first was preferred, for each pair of an answer; None without a preference.

    A single rating has no order.
    """
    if answer.task == "ranking":
        stood = {place: at for at, place in enumerate(answer.shown)}
        yield from (stood[better] < stood[worse] for better, worse in _preferred(answer))
    elif answer.task == "comparison":
        yield answer.first_chosen


def longer_cases(answer: Answered) -> Iterator[bool | None]:
    """Yield whether the longer response was preferred, for each pair of an answer; None where both are as long."""
    if answer.task == "ranking":
        long = [text.length for text in answer.texts]
        yield from (None if long[a] == long[b] else long[a] > long[b] for a, b in _preferred(answer))
    elif answer.task == "comparison":
        yield answer.longer_chosen


def length_correlation(answers: Iterable[Answered]) -> Correlation | None:
    """Return how far somebody's ratings grow with length; None of none.

    The interval is of Fisher's z, with the standard error from the influence of each rating, summed by prompt.

    References:
        Fisher (1915), Biometrika 10; Devlin, Gnanadesikan and Kettenring (1975), Biometrika 62.
    """
    found = [(rated, each.texts[0]) for each in answers if (rated := _rated(each)) is not None]
    if not found:
        return None
    prompts = [text.prompt_id for _, text in found]
    counts = (len(found), len(set(prompts)))
    ratings, lengths = ([value for value, _ in found], [math.log2(max(1, text.length)) for _, text in found])
    if len(found) < FEWEST or len(set(ratings)) < 2 or len(set(lengths)) < 2:
        return Correlation(None, *counts)
    x, y = (_standardised(each) for each in (ratings, lengths))
    r = float(np.clip((x * y).mean(), -1.0, 1.0))
    influence = x * y - r * (x**2 + y**2) / 2
    return Correlation(r, *counts, _interval(r, [r + each for each in influence.tolist()], prompts))


def _interval(r: float, values: Sequence[float], prompts: Sequence[str]) -> tuple[float, float]:
    found = mean_interval(values, prompts)
    if found is None or found.low is None or found.high is None or abs(r) == 1:
        return -1.0, 1.0
    half = (found.high - found.low) / 2 / (1 - r**2)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _standardised(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = np.array(values, dtype=np.float64)
    return np.asarray((found - found.mean()) / found.std())


def _preferred(answer: Answered) -> Iterator[tuple[int, int]]:
    """Yield the better and the worse of each pair of a ranking that is not tied, as places among its responses."""
    ranks = answer.ranks or ()
    for one, other in combinations(range(len(ranks)), 2):
        if ranks[one] != ranks[other]:
            yield (one, other) if ranks[one] < ranks[other] else (other, one)


def _rated(answer: Answered) -> float | None:
    if answer.task != "rating":
        return None
    values = [value for value in answer.answer["ratings"].values() if value is not None]
    return fmean(values) if values else None
