"""Whether a judge's ratings rank responses as people's do, on each criterion and for each rater group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardkit.audit.cases import RatingCase, groups_of
from rewardkit.audit.resampling import Statistic, places_of, resampled, resampled_difference
from rewardkit.audit.results import Finding, Level, missing
from rewardkit.calibration.estimates import Array

FEWEST = 3
CONSTANT = "one of the two gives every response the same rating"


@dataclass(frozen=True)
class RankAgreement:
    """Spearman's rank correlation of a judge's ratings with people's.

    Attributes:
        criterion: What was rated.
        group: Whose ratings; "all people" for everyone's.
        judge: With the mean of the people.
        people: Each person with the mean of the others.
        judge_left_out: The judge with the same means of the others.
        lead: The latter less the former, on the same ratings.
    """

    criterion: str
    group: str
    judge: Finding
    people: Finding
    judge_left_out: Finding
    lead: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value if isinstance(value, str) else value.to_json() for name, value in vars(self).items()}


def rank_agreements(criterion: str, cases: Sequence[RatingCase], level: Level) -> tuple[RankAgreement, ...]:
    """Measure rank correlation with all people, and with each group where there are several."""
    groups = groups_of(cases)
    parts = [("all people", list(cases))]
    if len(groups) > 1:
        parts += [(group or "no group", [case.seen_by(group) for case in cases]) for group in groups]
    return tuple(_rank_agreement(criterion, name, part, level) for name, part in parts)


def _rank_agreement(criterion: str, group: str, cases: Sequence[RatingCase], level: Level) -> RankAgreement:
    known = [case for case in cases if case.votes]
    units, judge = [case.unit for case in known], [case.value for case in known]
    rho = correlation(judge, [case.mean for case in known], units, level)
    left_out = [row for case in known for row in _left_out(case)]
    if not left_out:
        nothing = missing(_why_no_ceiling(known), len(known))
        return RankAgreement(criterion, group, rho, nothing, nothing, nothing)
    where, judged, alone, others = (list(column) for column in zip(*left_out, strict=True))
    return RankAgreement(
        criterion,
        group,
        judge=rho,
        people=correlation(alone, others, where, level),
        judge_left_out=correlation(judged, others, where, level),
        lead=_lead((judged, alone), others, where, level),
    )


def _left_out(case: RatingCase) -> list[tuple[str, float, float, float]]:
    """Return unit, the judge's rating, one person's, and the mean of the others, for each person that has others."""
    alone = [vote.value for vote in case.votes if not vote.aggregate]
    if len(alone) < 2:
        return []
    total = sum(alone)
    return [(case.unit, case.value, value, (total - value) / (len(alone) - 1)) for value in alone]


def _why_no_ceiling(cases: Sequence[RatingCase]) -> str:
    if not cases:
        return "no response has human ratings"
    if all(vote.aggregate for case in cases for vote in case.votes):
        return "the human ratings are means, and single people are not known"
    return "no response was rated by two people"


def correlation(x: Sequence[float], y: Sequence[float], units: Sequence[str], level: Level) -> Finding:
    """Return Spearman's rank correlation with its interval, clustered by unit; ties share their mean rank.

    References:
        Spearman, The proof and measurement of association between two things (1904).
    """
    if len(x) < FEWEST:
        return missing("too few responses were rated by both", len(x))
    return resampled(_spearman(x, y, units), units, level, undefined=CONSTANT)


def _lead(pair: tuple[Sequence[float], Sequence[float]], y: Sequence[float], units: list[str], level: Level) -> Finding:
    if len(y) < FEWEST:
        return missing("too few responses were rated by both", len(y))
    first, second = (_spearman(x, y, units) for x in pair)
    return resampled_difference(lambda times: first(times) - second(times), units, level, undefined=CONSTANT)


def _spearman(x: Sequence[float], y: Sequence[float], units: Sequence[str]) -> Statistic:
    place, _ = places_of(units)
    first, second = _Ranked.of(x), _Ranked.of(y)

    def statistic(times: Array) -> Array:
        weight = times[:, place]
        return _pearson(first.ranks(weight), second.ranks(weight), weight)

    return statistic


@dataclass(frozen=True)
class _Ranked:
    """Values in order, of which ranks can be taken with any weights.

    Attributes:
        order: The items, sorted by value, (n,).
        starts: The first of each run of equal values, (values,).
        value: Which value each item has, (n,).
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    value: npt.NDArray[np.intp]

    @classmethod
    def of(cls, values: Sequence[float]) -> _Ranked:
        # Rounded, so that means of the same ratings in another order are equal.
        numbers = np.asarray(values, dtype=np.float64).round(12)
        order = np.argsort(numbers, kind="stable")
        _, starts = np.unique(numbers[order], return_index=True)
        return cls(order, starts, np.unique(numbers, return_inverse=True)[1])

    def ranks(self, weight: Array) -> Array:
        """Return mean ranks (draws, n) under weights (draws, n): how much lies below, and half of its equals."""
        counts = np.add.reduceat(weight[:, self.order], self.starts, axis=1)
        middle = np.cumsum(counts, axis=1) - counts / 2
        ranks: Array = middle[:, self.value]
        return ranks


def _pearson(x: Array, y: Array, weight: Array) -> Array:
    total = weight.sum(axis=1, keepdims=True)
    x, y = (values - (weight * values).sum(axis=1, keepdims=True) / total for values in (x, y))
    together, of_x, of_y = ((weight * product).sum(axis=1) for product in (x * y, x * x, y * y))
    spread = np.sqrt(of_x * of_y)
    defined = spread > 1e-9 * np.maximum(total[:, 0], 1.0)
    found: Array = np.where(defined, together / np.where(defined, spread, 1.0), np.nan)
    return np.clip(found, -1.0, 1.0)
