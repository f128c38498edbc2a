"""Means with the intervals that clustered data deserve.

Comparisons of one prompt (or of responses that share a text) rise and fall together, so the unit of
sampling is the unit of the split, not the comparison. Every number that rewardkit shows is an
`Estimate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from rewardkit.errors import DataError

Array = npt.NDArray[np.float64]

# From this many units on the plain t interval of a rate between .2 and .8 is as good as the logit's.
PLAIN_FROM_UNITS = 150


@dataclass(frozen=True)
class Estimate:
    """A number, its interval and what it rests on.

    Attributes:
        value: The point estimate.
        low: Lower end of the interval; −inf where one unit leaves it open.
        high: Upper end of the interval; inf where one unit leaves it open.
        n: Comparisons.
        n_units: Independent units (prompts, or components that share texts).
        confidence: Level of the interval.
    """

    value: float
    low: float
    high: float
    n: int
    n_units: int
    confidence: float

    def to_json(self) -> dict[str, float | int | None]:
        """Return plain JSON values; an open end of the interval becomes None."""
        return {
            "value": self.value,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "n": self.n,
            "n_units": self.n_units,
            "confidence": self.confidence,
        }


def clustered_mean(
    values: npt.ArrayLike, units: Sequence[str], confidence: float = 0.95, *, rate: bool = False
) -> Estimate:
    """Return the mean with a cluster-robust t interval (G − 1 degrees of freedom, G units).

    A rate gets its interval on the logit scale, unless there are 150 units or more and it lies in
    .2–.8. The rule counts units and not comparisons, because units are what is independent; that is
    never less careful. Where the units show no variation (a rate of 0 or 1 among them) no standard
    error exists, and the interval is Clopper-Pearson's with each unit as one trial. One unit says
    nothing about others: the interval is then (0, 1) for a rate and (−inf, inf) for a mean.

    Args:
        values: One number per comparison, (n,).
        units: The unit of each comparison, n names.
        confidence: Level of the interval.
        rate: Whether the mean lies in [0, 1] by construction.

    Raises:
        DataError: There are no values, a value is not finite, or the lengths differ.

    References:
        Liang and Zeger, Longitudinal data analysis using generalized linear models (1986).
        Franco et al., Comparative study of confidence intervals for proportions in complex sample
        surveys (2019), for the logit interval.
    """
    numbers = _checked(values, units)
    count = len(set(units))
    mean = float(min(max(numbers.mean(), 0.0), 1.0)) if rate else float(numbers.mean())
    low, high = (0.0, 1.0) if rate else (-math.inf, math.inf)
    if count > 1:
        error = clustered_error((numbers - numbers.mean()) / len(numbers), units)
        interval = _rate_interval if rate else _mean_interval
        low, high = interval(mean, error, count, confidence)
    return Estimate(mean, low, high, len(numbers), count, confidence)


def clustered_error(influence: npt.ArrayLike, units: Sequence[str]) -> float:
    """Return the cluster-robust standard error of an estimate.

    Args:
        influence: What each comparison contributes to the estimate, (n,), summing to 0.
        units: The unit of each comparison; two different ones at least.

    Returns:
        sqrt(G / (G − 1) · Σ_units (sum of influences)²).
    """
    _, index = np.unique(np.asarray(units), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(influence, dtype=np.float64))
    return math.sqrt(len(sums) / (len(sums) - 1) * float(np.square(sums).sum()))


def t_quantile(count: int, confidence: float) -> float:
    """Return the two-sided t quantile with count − 1 degrees of freedom."""
    return float(stats.t.ppf(0.5 + confidence / 2, count - 1))


def _mean_interval(mean: float, error: float, count: int, confidence: float) -> tuple[float, float]:
    half = t_quantile(count, confidence) * error
    return mean - half, mean + half


def _rate_interval(rate: float, error: float, count: int, confidence: float) -> tuple[float, float]:
    if rate in (0.0, 1.0) or error < 1e-12:
        return _clopper_pearson(rate, count, confidence)
    half = t_quantile(count, confidence) * error
    if count >= PLAIN_FROM_UNITS and 0.2 <= rate <= 0.8:
        return max(rate - half, 0.0), min(rate + half, 1.0)
    centre, half = math.log(rate / (1 - rate)), half / (rate * (1 - rate))
    return _sigmoid(centre - half), _sigmoid(centre + half)


def _clopper_pearson(rate: float, count: int, confidence: float) -> tuple[float, float]:
    hits, tail = rate * count, (1 - confidence) / 2
    low = 0.0 if rate == 0.0 else float(stats.beta.ppf(tail, hits, count - hits + 1))
    high = 1.0 if rate == 1.0 else float(stats.beta.ppf(1 - tail, hits + 1, count - hits))
    return low, high


def _sigmoid(logit: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def _checked(values: npt.ArrayLike, units: Sequence[str]) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) != len(units):
        raise DataError(f"{numbers.shape} values and {len(units)} units", expected="one unit for each value")
    if not len(numbers):
        raise DataError("there is nothing to average", fix="give at least one comparison")
    if not np.isfinite(numbers).all():
        raise DataError("a value is not finite", expected="finite numbers")
    return numbers
