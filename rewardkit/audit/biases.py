"""What moves a judge more than it moves people: length, and its own family's hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from rewardkit.audit.cases import PairCase
from rewardkit.audit.pairs import NO_VOTES, voted
from rewardkit.audit.results import Finding, Level, lead, missing, rate
from rewardkit.calibration.estimates import Array, Estimate, clustered_error, t_quantile


@dataclass(frozen=True)
class Beside:
    """A number of the judge, the same of the people on the same items, and the judge's less theirs, paired."""

    judge: Finding
    people: Finding
    difference: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value.to_json() for name, value in vars(self).items()}


def length_slope(cases: Sequence[PairCase], level: Level) -> Beside:
    """Measure how the log odds of being preferred grow with each doubling of length, judge beside people.

    P(A is preferred) = sigmoid(slope · log2(length of A / length of B)), without an intercept, so that no side is
    favoured. The judge's verdict stands beside the share of votes: each is what one asking would give.

    Args:
        cases: What the judge has answered; those with votes count.
        level: Of the intervals, which come from a sandwich clustered by unit.

    References:
        White, Maximum likelihood estimation of misspecified models (1982).
    """
    known = [case for case in voted(cases) if case.doublings]
    if not known:
        why = "all responses that were compared are equally long" if voted(cases) else NO_VOTES
        return Beside(*[missing(why, len(voted(cases)))] * 3)
    x, units = np.array([case.doublings for case in known]), [case.unit for case in known]
    judge = _Slope.fit(x, np.array([0.5 + 0.5 * case.choice for case in known]))
    people = _Slope.fit(x, np.array([case.share for case in known]))
    difference = _Slope(judge.value - people.value, judge.influence - people.influence)
    return Beside(*(slope.finding(units, level) for slope in (judge, people, difference)))


@dataclass(frozen=True)
class _Slope:
    """A slope, and what each comparison contributes to it, (n,)."""

    value: float
    influence: Array

    @classmethod
    def fit(cls, x: Array, y: Array) -> _Slope:
        # One more comparison that is tied, of typical difference: keeps the slope finite where the longer always wins.
        spread = math.sqrt(float(np.square(x).mean()))
        wide, target = np.append(x, spread), np.append(y, 0.5)

        def gradient(slope: float) -> float:
            return float(((expit(slope * wide) - target) * wide).sum())

        # Far enough out the tied comparison pulls back harder than the others push.
        reach = 1 / spread
        while gradient(-reach) > 0 or gradient(reach) < 0:
            reach *= 2
        slope = float(brentq(gradient, -reach, reach))
        p = expit(slope * wide)
        curvature = float((p * (1 - p) * np.square(wide)).sum())
        return cls(slope, (y - expit(slope * x)) * x / curvature)

    def finding(self, units: Sequence[str], level: Level) -> Finding:
        count = len(set(units))
        half = math.inf
        if count > 1:
            half = t_quantile(count, level.confidence) * clustered_error(self.influence, units)
        value = Estimate(self.value, self.value - half, self.value + half, len(units), count, level.confidence)
        return Finding(value)


def self_preference(cases: Sequence[PairCase], family: str | None, level: Level) -> Beside:
    """Measure how often the judge prefers its own family's responses, less how often people do.

    Args:
        cases: What the judge has answered; those count that have votes, and of which the judge's family wrote one.
        family: The judge's family; None where it names no model.
        level: Of the intervals.
    """
    known = voted(cases)
    own = [case for case in known if family is not None and (family in case.writers) and len(set(case.writers)) == 2]
    if family is None or not own:
        return Beside(*[missing(_why_not_own(known, family), len(known))] * 3)
    units = [case.unit for case in own]
    turned = [1 if case.writers[0] == family else -1 for case in own]
    judge = [0.5 + 0.5 * way * case.choice for way, case in zip(turned, own, strict=True)]
    people = [0.5 + way * (case.share - 0.5) for way, case in zip(turned, own, strict=True)]
    difference = lead(judge, people, units, level)
    return Beside(rate(judge, units, level), rate(people, units, level), difference)


def _why_not_own(cases: Sequence[PairCase], family: str | None) -> str:
    if not cases:
        return NO_VOTES
    if family is None:
        return "the judge names no model"
    if not any(writer for case in cases for writer in case.writers):
        return "no response names the model that wrote it"
    return f"in no comparison did just one response come from the judge's family “{family}”"
