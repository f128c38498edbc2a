"""A number with its n and interval, or why there is none: what every part of the audit returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy.typing as npt

from rewardkit.calibration.estimates import Estimate, clustered_mean


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


def mean(values: npt.ArrayLike, units: Sequence[str], level: Level, *, reach: float | None = None) -> Finding:
    """Return a mean with its interval, clustered by unit.

    Args:
        values: One number for each item.
        units: The unit of each.
        level: Of the interval.
        reach: The mean cannot be further from 0 than this.
    """
    found = clustered_mean(values, units, level.confidence)
    if reach is not None:
        # With few units the t interval can leave what a difference of two shares can be.
        found = replace(found, low=max(found.low, -reach), high=min(found.high, reach))
    return Finding(found)
