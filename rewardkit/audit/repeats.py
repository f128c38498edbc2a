"""Test and retest: whether a judge says the same when it is asked again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rewardkit.audit.cases import PairCase, RatingCase, Verdict, side
from rewardkit.audit.results import Finding, Level, missing, rate


@dataclass(frozen=True)
class Retest:
    """A judge that was asked the same again.

    Attributes:
        equal: Share of equal answers, among all pairs of answers to the same question.
        distance: Mean absolute difference of the same pairs: of p_a, or of places on the rating scale (0 to 1).
    """

    equal: Finding
    distance: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value.to_json() for name, value in vars(self).items()}


def retest(cases: Sequence[PairCase], level: Level) -> Retest:
    """Measure how far a judge's verdicts on a comparison in one order repeat themselves."""
    found = []
    for case in cases:
        asked: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in case.verdicts:
            asked[verdict.chain].append(verdict)
        pairs = [pair for verdicts in asked.values() for pair in combinations(verdicts, 2)]
        equal = [float(side(one.logit) == side(other.logit)) for one, other in pairs]
        found.append((case.unit, equal, [abs(one.value - other.value) for one, other in pairs]))
    return _retest(found, level, "no comparison was judged twice in the same order")


def rating_retest(cases: Sequence[RatingCase], level: Level) -> Retest:
    """Measure how far a judge's ratings of a response on a criterion repeat themselves."""
    found = []
    for case in cases:
        apart = [abs(one - other) for one, other in combinations(case.values, 2)]
        found.append((case.unit, [float(distance == 0) for distance in apart], apart))
    return _retest(found, level, "no response was rated twice on a criterion")


def _retest(found: Iterable[tuple[str, list[float], list[float]]], level: Level, why_not: str) -> Retest:
    """Average within an item first, so that items weigh alike."""
    all_items = list(found)
    again = [item for item in all_items if item[1]]
    if not again:
        return Retest(*[missing(why_not, len(all_items))] * 2)
    units = [unit for unit, _, _ in again]
    equal = [sum(same) / len(same) for _, same, _ in again]
    apart = [sum(distances) / len(distances) for _, _, distances in again]
    return Retest(rate(equal, units, level), rate(apart, units, level))
