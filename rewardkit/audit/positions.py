"""What the order does to a judge: whether its verdict stays when the responses change places, what averaging mends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewardkit.audit.cases import PairCase, side
from rewardkit.audit.pairs import decided, right
from rewardkit.audit.results import Finding, Level, lead, mean, missing, rate
from rewardkit.calibration.estimates import Estimate
from rewardkit.types import Order

ONE_ORDER = "no comparison was judged in both orders"


@dataclass(frozen=True)
class Position:
    """A judge and the order in which it sees two responses.

    Attributes:
        consistency: Share of comparisons judged in both orders whose verdict stays.
        prefers_first: Share of verdicts for the response shown first, 0.5 without a lean; a tie counts half.
        residual: Mean lean to the first, in logits: half the difference of the two orders' log odds.
        a_first: Accuracy where A was shown first.
        b_first: Accuracy where B was shown first.
        one_order: Mean of the two: what one order gives, on decided comparisons judged in both.
        averaged: Accuracy of both orders averaged in logit space, on the same comparisons.
        gain: The latter less the former, paired.
    """

    consistency: Finding
    prefers_first: Finding
    residual: Finding
    a_first: Finding
    b_first: Finding
    one_order: Finding
    averaged: Finding
    gain: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value.to_json() for name, value in vars(self).items()}


def position(cases: Sequence[PairCase], level: Level) -> Position:
    """Measure what the order does.

    Args:
        cases: What the judge has answered; votes are needed for the accuracies only.
        level: Of the intervals.
    """
    both = [case for case in cases if case.swapped]
    clear = decided(both)
    if not both:
        nothing = missing(ONE_ORDER, len(cases))
        return Position(nothing, _first_of_one(cases, level), *[nothing] * 6)
    units = [case.unit for case in both]
    return Position(
        consistency=rate([float(_choice(case, "ab") == _choice(case, "ba")) for case in both], units, level),
        prefers_first=rate([0.5 + (_choice(case, "ab") - _choice(case, "ba")) / 4 for case in both], units, level),
        residual=mean([case.opinion.position_residual or 0.0 for case in both], units, level),
        **_accuracies(clear, len(both), level),
    )


def _accuracies(cases: Sequence[PairCase], judged: int, level: Level) -> dict[str, Finding]:
    names = ("a_first", "b_first", "one_order", "averaged", "gain")
    if not cases:
        return dict.fromkeys(names, missing("none of those judged in both orders has a human majority", judged))
    units = [case.unit for case in cases]
    a_first, b_first = ([right(_choice(case, order), case.majority) for case in cases] for order in _BOTH)
    single = [(one + other) / 2 for one, other in zip(a_first, b_first, strict=True)]
    averaged = [right(case.choice, case.majority) for case in cases]
    shares = [rate(terms, units, level) for terms in (a_first, b_first, single, averaged)]
    gain = lead(averaged, single, units, level)
    if not any(verdict.soft for case in cases for verdict in case.verdicts):
        # A tie counts half, which is what two opposite verdicts give on average.
        gain = Finding(
            Estimate(0.0, 0.0, 0.0, len(cases), len(set(units)), level.confidence),
            "0 by definition for verdicts in words: where the orders differ, the average is a tie",
        )
    return dict(zip(names, (*shares, gain), strict=True))


def _first_of_one(cases: Sequence[PairCase], level: Level) -> Finding:
    """Measure the lean where each comparison was shown in one order: which came first is then chance, or is not."""
    known = [(case, order) for case in cases for order in case.by_order if order]
    if not known:
        return missing("it is not known in which order the judge saw them", len(cases))
    firsts = [0.5 + 0.5 * _choice(case, order) * (1 if order == "ab" else -1) for case, order in known]
    found = rate(firsts, [case.unit for case, _ in known], level)
    return Finding(found.estimate, "each comparison in one order: if better ones came first, it shows here too")


_BOTH: tuple[Order, Order] = ("ab", "ba")


def _choice(case: PairCase, order: Order) -> int:
    return side(case.by_order[order])
