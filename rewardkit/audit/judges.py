"""All that is found of one judge, in one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardkit.audit.biases import Beside, length_slope, self_preference
from rewardkit.audit.cases import PairCase, RatingCase
from rewardkit.audit.compute import Compute, Faithfulness, compute, faithfulness
from rewardkit.audit.pairs import (
    NO_VOTES,
    PairAgreement,
    Rival,
    by_group,
    by_task,
    ceiling,
    pair_agreement,
    rivals,
    voted,
)
from rewardkit.audit.positions import Position, position
from rewardkit.audit.ratings import RankAgreement, rank_agreements
from rewardkit.audit.repeats import Retest, rating_retest, retest
from rewardkit.audit.results import Finding, Level
from rewardkit.audit.stress import StressTest
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.evaluation import Measurement, measure
from rewardkit.calibration.reliability import Reliability, reliability


@dataclass(frozen=True)
class Honesty:
    """A judge's probabilities against the votes, or why they cannot be measured."""

    measurement: Measurement | None
    reliability: Reliability | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "measurement": self.measurement.to_json() if self.measurement else None,
            "reliability": self.reliability.to_json() if self.reliability else None,
            "note": self.note,
        }


@dataclass(frozen=True)
class PairAudit:
    """A judge that compares.

    Attributes:
        judged: Comparisons that it answered.
        overall: Against everyone who voted.
        by_group: Against each rater group; empty where there is but one.
        by_task: On each task; empty where there is but one.
        ceiling: One person against the others.
        rivals: What needs no judgement.
        position: What the order does.
        length: What length does.
        own_family: What its own family's hand does.
        honesty: Its probabilities.
        retest: The same question again.
        compute: What its labels take, and what more votes bought.
        faithfulness: Whether its verdicts follow from its thoughts; None where that was not tried.
    """

    judged: int
    overall: PairAgreement
    by_group: tuple[PairAgreement, ...]
    by_task: tuple[PairAgreement, ...]
    ceiling: Rival
    rivals: tuple[Rival, ...]
    position: Position
    length: Beside
    own_family: Beside
    honesty: Honesty
    retest: Retest
    compute: Compute
    faithfulness: Faithfulness | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: _json(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class RatingAudit:
    """A judge that rates, on one criterion."""

    criterion: str
    rated: int
    ranks: tuple[RankAgreement, ...]
    retest: Retest

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: _json(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Opposed:
    """Groups of people that see a judge on opposite sides.

    Attributes:
        what: What differs.
        middle: The value that parts the sides.
        above: Groups with whom it lies above.
        below: Groups with whom it lies below.
    """

    what: str
    middle: float
    above: tuple[tuple[str, Estimate], ...]
    below: tuple[tuple[str, Estimate], ...]

    @property
    def certain(self) -> bool:
        """Whether an interval lies wholly on each side."""
        over = any(estimate.low > self.middle for _, estimate in self.above)
        return over and any(estimate.high < self.middle for _, estimate in self.below)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        sides = {"above": self.above, "below": self.below}
        groups = {side: {name: known.to_json() for name, known in found} for side, found in sides.items()}
        return {"what": self.what, "middle": self.middle, "certain": self.certain, **groups}


@dataclass(frozen=True)
class JudgeAudit:
    """One judge.

    Attributes:
        name: As a reader should see it.
        model: Its model; "" where it names none.
        family: Its model's family; None where it names no model.
        answered: Share of its labels and ratings that say something.
        pairs: As one that compares; None where it compared nothing.
        ratings: As one that rates, by criterion.
        disagreements: Where groups of people see it on opposite sides.
        stress: What it makes of texts that were changed on purpose.
    """

    name: str
    model: str
    family: str | None
    answered: Finding
    pairs: PairAudit | None
    ratings: tuple[RatingAudit, ...]
    disagreements: tuple[Opposed, ...]
    stress: tuple[StressTest, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: _json(value) for name, value in vars(self).items()}


def audit_pairs(cases: Sequence[PairCase], family: str | None, level: Level) -> PairAudit:
    """Measure a judge that compares.

    Args:
        cases: What it has answered.
        family: Of its model.
        level: Of the intervals.
    """
    return PairAudit(
        judged=len(cases),
        overall=pair_agreement("all people", cases, level),
        by_group=by_group(cases, level),
        by_task=by_task(cases, level),
        ceiling=ceiling(cases, level),
        rivals=rivals(cases, level),
        position=position(cases, level),
        length=length_slope(cases, level),
        own_family=self_preference(cases, family, level),
        honesty=honesty(cases, level),
        retest=retest(cases, level),
        compute=compute(cases, level),
        faithfulness=faithfulness(cases, level),
    )


def audit_ratings(cases: Mapping[str, Sequence[RatingCase]], level: Level) -> tuple[RatingAudit, ...]:
    """Measure a judge that rates; cases by criterion."""
    return tuple(
        RatingAudit(name, len(found), rank_agreements(name, found, level), rating_retest(found, level))
        for name, found in sorted(cases.items())
    )


def honesty(cases: Sequence[PairCase], level: Level) -> Honesty:
    """Measure a judge's probabilities, orders averaged, against the votes.

    Words are no probabilities: what a bare "A" counts as is this package's choice, so they are left out.
    """
    known = voted(cases)
    soft = [case for case in known if all(verdict.soft for verdict in case.verdicts if verdict.current)]
    if not soft:
        why = "the judge gave verdicts and no probabilities" if known else NO_VOTES
        return Honesty(None, None, f"not measurable: {why} (n = {len(known):,})")
    units, p_a, human = [c.unit for c in soft], [c.p_a for c in soft], [c.share for c in soft]
    words = len(known) - len(soft)
    return Honesty(
        measure(p_a, human, units=units, confidence=level.confidence, seed=level.seed),
        reliability(p_a, human, units, level.confidence),
        f"{words:,} verdicts without a probability are left out" if words else "",
    )


def disagreements(pairs: PairAudit | None, ratings: Sequence[RatingAudit]) -> tuple[Opposed, ...]:
    """Find where rater groups see a judge on opposite sides: of a coin, or of no rank correlation."""
    found = []
    if pairs is not None:
        parts = [(part.name, part.accuracy.estimate) for part in pairs.by_group]
        found.append(_opposed("agreement with the majority", 0.5, parts))
    for rating in ratings:
        groups = [(rank.group, rank.judge.estimate) for rank in rating.ranks[1:]]
        found.append(_opposed(f"rank correlation on {rating.criterion}", 0.0, groups))
    return tuple(opposed for opposed in found if opposed.above and opposed.below)


def _opposed(what: str, middle: float, groups: Sequence[tuple[str, Estimate | None]]) -> Opposed:
    known = [(name, estimate) for name, estimate in groups if estimate]
    return Opposed(
        what=what,
        middle=middle,
        above=tuple((name, estimate) for name, estimate in known if estimate.value > middle),
        below=tuple((name, estimate) for name, estimate in known if estimate.value < middle),
    )


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(each) for each in value]
    return value.to_json() if hasattr(value, "to_json") else value
