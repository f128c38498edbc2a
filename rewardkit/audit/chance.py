"""Agreement beyond chance of two verdicts on the same items: Cohen's κ, Krippendorff's α, Gwet's AC1.

Each is (observed − expected) / (1 − expected); they differ in what they expect of chance. Verdicts are A, B or
neither, and each item counts from both sides: which response is A is arbitrary, and a coefficient that depends on
it measures nothing. (On the doubled list these are the coefficients as published.)

References:
    Cohen, A coefficient of agreement for nominal scales (1960).
    Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    Gwet, Computing inter-rater reliability and its variance in the presence of high agreement (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rewardkit.audit.resampling import places_of, resampled
from rewardkit.audit.results import Finding, Level
from rewardkit.calibration.estimates import Array, clustered_mean

Expected = Callable[[Array, int], Array]
"""Counts (…, 3, 3) and the number of categories in use, to the agreement that chance would show, (…,)."""
SAME = "both always say the same, so chance alone would agree"


@dataclass(frozen=True)
class Coefficients:
    """The three coefficients."""

    kappa: Finding
    alpha: Finding
    ac1: Finding


def coefficients(first: Sequence[int], second: Sequence[int], units: Sequence[str], level: Level) -> Coefficients:
    """Measure agreement beyond chance.

    Args:
        first: Verdicts 1, 0 or −1, (items,).
        second: Those of the other, (items,).
        units: The unit of each item.
        level: Of the intervals.
    """
    place, count = places_of(units)
    tables = np.zeros((count, 3, 3))
    np.add.at(tables, (place, np.asarray(first, dtype=int) + 1, np.asarray(second, dtype=int) + 1), 1)
    tables += tables[:, ::-1, ::-1]
    used = 3 if tables[:, 1].any() or tables[:, :, 1].any() else 2
    found = (_coefficient(tables, used, expected, units, level) for expected in (_cohen, _krippendorff, _gwet))
    return Coefficients(*found)


def _coefficient(tables: Array, used: int, expected: Expected, units: Sequence[str], level: Level) -> Finding:
    def statistic(times: Array) -> Array:
        drawn = (times @ tables.reshape(len(tables), 9)).reshape(-1, 3, 3)
        return _beyond(_observed(drawn), expected(drawn, used))

    found = resampled(statistic, units, level, undefined=SAME)
    if found.estimate is None or 0 < _observed(tables.sum(axis=0)) < 1:
        return found
    # All agree, or none: nothing varies, and the interval is that of the share of agreement.
    total = tables.sum(axis=0)
    share = clustered_mean(np.full(len(units), _observed(total)), units, level.confidence, rate=True)
    low, high = (float(_beyond(np.asarray(end), expected(total, used))) for end in (share.low, share.high))
    return Finding(replace(found.estimate, low=low, high=high), found.note)


def _observed(counts: Array) -> Array:
    agree: Array = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return agree


def _beyond(observed: Array, expected: Array) -> Array:
    room = 1 - expected
    found: Array = np.where(room > 1e-12, (observed - expected) / np.where(room > 1e-12, room, 1.0), np.nan)
    return found


def _cohen(counts: Array, used: int) -> Array:
    total = counts.sum(axis=(-2, -1))
    expected: Array = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1) / np.square(total)
    return expected


def _krippendorff(counts: Array, used: int) -> Array:
    answers = counts.sum(axis=-1) + counts.sum(axis=-2)
    total = answers.sum(axis=-1)
    expected: Array = (answers * (answers - 1)).sum(axis=-1) / (total * (total - 1))
    return expected


def _gwet(counts: Array, used: int) -> Array:
    share = (counts.sum(axis=-1) + counts.sum(axis=-2)) / (2 * counts.sum(axis=(-2, -1)))[..., None]
    expected: Array = (share * (1 - share)).sum(axis=-1) / (used - 1)
    return expected
