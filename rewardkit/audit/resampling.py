"""Intervals of numbers that have no formula of their own: the bootstrap over units.

Whole units are drawn, since what belongs to one prompt rises and falls together. The spread of the resampled
statistic is used with a t quantile of G − 1 degrees of freedom, and not its percentiles: simulated rank correlations
over five units lay in 90 % of percentile intervals that promised 95 %, and in 99 % of these; from ten units on both
keep their promise.

References:
    Cameron, Gelbach and Miller, Bootstrap-based improvements for inference with clustered errors (2008).
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rewardkit.audit.results import Finding, Level, missing
from rewardkit.calibration.estimates import Array, Estimate, t_quantile

Statistic = Callable[[Array], Array]
"""How often each unit was drawn, (draws, units), to the statistic of each draw, (draws,); NaN where undefined."""

# Numbers of one round of draws: bounds the memory, not the result.
DRAWN_AT_ONCE = 2_000_000
# Nearer to 1 than this a correlation or coefficient has no scale left on which an error could be taken.
EDGE = 1e-9


def places_of(units: Sequence[str]) -> tuple[npt.NDArray[np.intp], int]:
    """Return the place of each item's unit, and how many units there are."""
    names, place = np.unique(np.asarray(units), return_inverse=True)
    return place, len(names)


def resampled(statistic: Statistic, units: Sequence[str], level: Level, *, undefined: str) -> Finding:
    """Return a coefficient between −1 and 1 with its interval, on Fisher's scale.

    Args:
        statistic: Of drawn units, in the order of `places_of`.
        units: The unit of each item.
        level: Of the interval.
        undefined: Why the statistic may not be defined.

    References:
        Fisher, On the probable error of a coefficient of correlation (1921), for the scale.
    """
    value, error, count = _spread(statistic, units, level)
    if math.isnan(value):
        return missing(undefined, len(units))
    low, high = -1.0, 1.0
    if error is not None and abs(value) < 1 - EDGE:
        half = t_quantile(count, level.confidence) * error / (1 - value**2)
        low, high = (math.tanh(math.atanh(value) + end) for end in (-half, half))
    return Finding(Estimate(value, low, high, len(units), count, level.confidence))


def resampled_difference(statistic: Statistic, units: Sequence[str], level: Level, *, undefined: str) -> Finding:
    """Return the difference of two coefficients on the same items, between −2 and 2, with its interval."""
    value, error, count = _spread(statistic, units, level)
    if math.isnan(value):
        return missing(undefined, len(units))
    half = math.inf if error is None else t_quantile(count, level.confidence) * error
    low, high = max(value - half, -2.0), min(value + half, 2.0)
    return Finding(Estimate(value, low, high, len(units), count, level.confidence))


def _spread(statistic: Statistic, units: Sequence[str], level: Level) -> tuple[float, float | None, int]:
    """Return the statistic, its standard error (None where there is none) and the number of units."""
    count = len(set(units))
    value = float(statistic(np.ones((1, count)))[0]) if count else math.nan
    if count < 2 or math.isnan(value):
        return value, None, count
    drawn = _drawn(statistic, count, len(units), level)
    defined = drawn[~np.isnan(drawn)]
    if 2 * len(defined) < len(drawn):
        return value, None, count
    error = float(defined.std(ddof=1)) * math.sqrt(count / (count - 1))
    # A statistic that never moves has not shown how it would: its interval stays open.
    return value, error if error > EDGE else None, count


def _drawn(statistic: Statistic, count: int, items: int, level: Level) -> Array:
    rng = np.random.default_rng(level.seed)
    at_once, found = max(1, DRAWN_AT_ONCE // max(count, items)), []
    for done in range(0, level.resamples, at_once):
        rows = min(at_once, level.resamples - done)
        times = rng.multinomial(count, np.full(count, 1 / count), size=rows)
        found.append(statistic(times.astype(np.float64)))
    return np.concatenate(found)
