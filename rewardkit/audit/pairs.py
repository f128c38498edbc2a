"""How often a judge sides with people: overall, by rater group and by task, beside rivals that need no judgement.

An item is decided where people have a majority. There a judge that prefers neither is half right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rewardkit.audit.cases import PairCase, groups_of, side
from rewardkit.audit.chance import coefficients
from rewardkit.audit.results import Finding, Level, lead, missing, rate

NO_MAJORITY = "no comparison has a human majority"
NO_VOTES = "no comparison has human labels"
LONGER, FIRST, ALWAYS_A = "longer is better", "always the first shown", "always A"


@dataclass(frozen=True)
class PairAgreement:
    """A judge's verdicts against the people's majority.

    Attributes:
        name: Which comparisons or people these are.
        accuracy: Share of decided items on the majority's side; a judge's tie counts half.
        accuracy_decided: The same where the judge prefers one too.
        ties_human: Share of items without a majority.
        ties_judge: Share of items on which the judge prefers neither.
        kappa: Cohen's κ over A, B and neither.
        alpha: Krippendorff's α over the same.
        ac1: Gwet's AC1 over the same.
    """

    name: str
    accuracy: Finding
    accuracy_decided: Finding
    ties_human: Finding
    ties_judge: Finding
    kappa: Finding
    alpha: Finding
    ac1: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value if name == "name" else value.to_json() for name, value in vars(self).items()}


@dataclass(frozen=True)
class Rival:
    """Something beside which the judge stands, on the same items.

    Attributes:
        name: What it is.
        accuracy: How often it sides with the majority.
        judge: How often the judge does, on those items.
        lead: The judge's less its own, paired.
    """

    name: str
    accuracy: Finding
    judge: Finding
    lead: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value if name == "name" else value.to_json() for name, value in vars(self).items()}


def right(verdict: int, majority: int) -> float:
    """Return 1 for the majority's side, 0 for the other, and one half for neither."""
    return 0.5 + 0.5 * verdict * majority


def voted(cases: Sequence[PairCase]) -> list[PairCase]:
    """Return the cases on which people have voted."""
    return [case for case in cases if case.votes]


def decided(cases: Sequence[PairCase]) -> list[PairCase]:
    """Return the cases with a human majority."""
    return [case for case in cases if case.votes and case.majority]


def pair_agreement(name: str, cases: Sequence[PairCase], level: Level) -> PairAgreement:
    """Measure how far the judge agrees with the people.

    Args:
        name: What these cases are.
        cases: Those that the judge has answered; without votes they do not count.
        level: Of the intervals.
    """
    known, clear = voted(cases), decided(cases)
    both = [case for case in clear if case.choice]
    if not known:
        nothing = missing(NO_VOTES, len(cases))
        return PairAgreement(name, *[nothing] * 7)
    units, chosen = [case.unit for case in known], [case.choice for case in known]
    beyond = coefficients([case.majority for case in known], chosen, units, level)
    no_choice = "the judge prefers neither wherever people have a majority"
    return PairAgreement(
        name,
        accuracy=_share(_right, clear, level, missing(NO_MAJORITY, len(known))),
        accuracy_decided=_share(_right, both, level, missing(no_choice if clear else NO_MAJORITY, len(known))),
        ties_human=rate([float(not case.majority) for case in known], units, level),
        ties_judge=rate([float(not choice) for choice in chosen], units, level),
        **vars(beyond),
    )


def by_group(cases: Sequence[PairCase], level: Level) -> tuple[PairAgreement, ...]:
    """Measure agreement with each rater group; nothing where there is but one."""
    groups = groups_of(cases)
    if len(groups) < 2:
        return ()
    return tuple(
        pair_agreement(group or "no group", voted([case.seen_by(group) for case in cases]), level) for group in groups
    )


def by_task(cases: Sequence[PairCase], level: Level) -> tuple[PairAgreement, ...]:
    """Measure agreement on each task; nothing where there is but one."""
    known = voted(cases)
    tasks = sorted({case.task for case in known})
    if len(tasks) < 2:
        return ()
    return tuple(
        pair_agreement(task or "no task", [case for case in known if case.task == task], level) for task in tasks
    )


def rivals(cases: Sequence[PairCase], level: Level) -> tuple[Rival, ...]:
    """Measure what needs no judgement on the same items: the longer one, the first shown, always A."""
    clear = decided(cases)
    if not clear:
        nothing = missing(NO_MAJORITY if voted(cases) else NO_VOTES, len(cases))
        return tuple(Rival(name, nothing, nothing, nothing) for name in (LONGER, FIRST, ALWAYS_A))
    shown = [case for case in clear if _orders(case)]
    found = [_rival(LONGER, lambda case: right(side(case.doublings), case.majority), clear, level)]
    if shown:
        found.append(_by_design(_rival(FIRST, _first_shown, shown, level), shown))
    else:
        nothing = missing("it is not known in which order the judge saw them", len(clear))
        found.append(Rival(FIRST, nothing, nothing, nothing))
    return (*found, _rival(ALWAYS_A, lambda case: right(1, case.majority), clear, level))


def ceiling(cases: Sequence[PairCase], level: Level) -> Rival:
    """Measure each person against the majority of the others, and the judge against the same majorities.

    A judge that is measured against all people meets a steadier target than a person who is measured against the
    others; here both meet the same one. People weigh alike within an item, and items alike.
    """
    name = "one person against the others"
    found = [(case.unit, *terms) for case in cases if (terms := _left_out(case))]
    if not found:
        nothing = missing(_why_no_ceiling(cases), len(voted(cases)))
        return Rival(name, nothing, nothing, nothing)
    units, people, judge = (list(column) for column in zip(*found, strict=True))
    ahead = lead(judge, people, units, level)
    return Rival(name, rate(people, units, level), rate(judge, units, level), ahead)


def _left_out(case: PairCase) -> tuple[float, float] | None:
    """Return how often the people, and the judge, side with the majority of the others; None without one."""
    alone = [vote for vote in case.votes if not vote.aggregate]
    people, judge = [], []
    for vote in alone:
        others = [other.value for other in alone if other is not vote]
        majority = side(sum(others) / len(others) - 0.5) if others else 0
        if majority:
            people.append(right(side(vote.value - 0.5), majority))
            judge.append(right(case.choice, majority))
    return (sum(people) / len(people), sum(judge) / len(judge)) if people else None


def _why_no_ceiling(cases: Sequence[PairCase]) -> str:
    if not voted(cases):
        return NO_VOTES
    if all(vote.aggregate for case in cases for vote in case.votes):
        return "the human labels are majorities, and single people are not known"
    if not any(sum(not vote.aggregate for vote in case.votes) > 1 for case in cases):
        return "no comparison was answered by two people"
    return "wherever one person is left out the others are tied"


def _rival(name: str, terms: Callable[[PairCase], float], cases: Sequence[PairCase], level: Level) -> Rival:
    units, its, judges = [case.unit for case in cases], [terms(case) for case in cases], list(map(_right, cases))
    ahead = lead(judges, its, units, level)
    return Rival(name, rate(its, units, level), rate(judges, units, level), ahead)


def _by_design(rival: Rival, cases: Sequence[PairCase]) -> Rival:
    """Give what was shown first its exact share where every comparison was shown in both orders: one half."""
    known = rival.accuracy.estimate
    if known is None or not all(case.swapped for case in cases):
        return rival
    return replace(rival, accuracy=Finding(replace(known, low=0.5, high=0.5), "one half by definition: both orders"))


def _share(terms: Callable[[PairCase], float], cases: Sequence[PairCase], level: Level, otherwise: Finding) -> Finding:
    return rate([terms(case) for case in cases], [case.unit for case in cases], level) if cases else otherwise


def _right(case: PairCase) -> float:
    return right(case.choice, case.majority)


def _orders(case: PairCase) -> list[int]:
    """Return which side was shown first, once for each order."""
    return [1 if order == "ab" else -1 for order in case.by_order if order]


def _first_shown(case: PairCase) -> float:
    firsts = _orders(case)
    return sum(right(first, case.majority) for first in firsts) / len(firsts)
