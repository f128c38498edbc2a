"""A number with its n and interval, or why there is none: what every part of the audit returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.estimates import Estimate, clustered_mean

# What is left of rounding where nothing varies.
STILL = 1e-12


class Level(NamedTuple):
    """How intervals are made: their level, and the bootstrap behind those that have no formula."""

    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Finding:
    """Something that was to be measured.

    Attributes:
        estimate: The number; None where it cannot be measured.
        note: Why it cannot, with its n; or what to know about it.
    """

    estimate: Estimate | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"estimate": self.estimate.to_json() if self.estimate else None, "note": self.note}


def missing(why: str, n: int) -> Finding:
    """Say why something cannot be measured, and of how many items that is said."""
    return Finding(None, f"not measurable: {why} (n = {n:,})")


def rate(values: npt.ArrayLike, units: Sequence[str], level: Level) -> Finding:
    """Return a share with its interval, clustered by unit."""
    return Finding(clustered_mean(values, units, level.confidence, rate=True))


def mean(values: npt.ArrayLike, units: Sequence[str], level: Level) -> Finding:
    """Return a mean with its interval, clustered by unit."""
    return Finding(clustered_mean(values, units, level.confidence))


def lead(own: Sequence[float], other: Sequence[float], units: Sequence[str], level: Level) -> Finding:
    """Return the mean of own − other, paired, of terms between 0 and 1, with its interval.

    With few units the t interval can leave what a difference of two shares can be, and is cut there. Where no
    difference varies there is no standard error: the interval then reaches as far as units that were not met and
    differ wholly could move it, by Clopper and Pearson's bound on their share.
    """
    found = clustered_mean([one - two for one, two in zip(own, other, strict=True)], units, level.confidence)
    low, high = found.low, found.high
    if high - low < STILL:
        unmet = clustered_mean(np.zeros(len(units)), units, level.confidence, rate=True).high
        low, high = found.value - 2 * unmet, found.value + 2 * unmet
    return Finding(replace(found, low=max(low, -1.0), high=min(high, 1.0)))
