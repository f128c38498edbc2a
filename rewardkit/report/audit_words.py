"""The sentences on top of a judge's part: what its numbers allow one to say, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator

from rewardkit.audit.judges import JudgeAudit, Opposed, PairAudit
from rewardkit.audit.pairs import LONGER
from rewardkit.audit.results import Finding
from rewardkit.calibration.estimates import Estimate
from rewardkit.report.audit_cells import n_of, which_side
from rewardkit.report.formats import (
    count,
    listing,
    percent,
    percent_interval,
    plain_interval,
    plain_number,
    points,
    points_interval,
)
from rewardkit.report.verdict import FEW_COMPARISONS, FEW_UNITS, FEWEST_UNITS


def verdict(judge: JudgeAudit) -> tuple[str, ...]:
    """Say in a few sentences what to think of a judge."""
    found = [*_of_pairs(judge.pairs)] if judge.pairs else []
    found += _of_ratings(judge)
    return tuple(found)


def opposed_sides(judge: JudgeAudit) -> tuple[str, ...]:
    """Say where groups of people see the judge on opposite sides."""
    return tuple(_opposed(found) for found in judge.disagreements)


def _opposed(found: Opposed) -> str:
    above, below = (
        listing(f"“{name}” {plain_number(known.value, 2)} ({_span(known)})" for name, known in groups)
        for groups in (found.above, found.below)
    )
    proof = "both beyond chance" if found.certain else "which chance may explain"
    middle = plain_number(found.middle, 1)
    return f"People disagree about it: {found.what} is above {middle} with {above}, and below with {below}; {proof}."


def _span(known: Estimate) -> str:
    return f"{plain_interval(known.low, known.high, 2)}, {n_of(known)}"


def cautions(judge: JudgeAudit, unit: str) -> tuple[str, ...]:
    """Say what to keep in mind: too little data, or units so few that their intervals cannot be trusted."""
    known = _widest(judge)
    if known is None or known.estimate is None:
        return ()
    n, units = known.estimate.n, known.estimate.n_units
    if units < FEWEST_UNITS:
        return (
            f"{count(n, 'item')} from only {count(units, unit)}: nothing follows for others, whatever the intervals"
            " say. Where items of one prompt are independent texts, audit.by: text takes each text as one.",
        )
    if n < FEW_COMPARISONS or units < FEW_UNITS:
        return (f"Little data: {count(n, 'item')} from {count(units, unit)}.",)
    return ()


def _widest(judge: JudgeAudit) -> Finding | None:
    if judge.pairs is not None:
        return judge.pairs.overall.ties_human
    return judge.ratings[0].ranks[0].judge if judge.ratings else None


def _of_pairs(pairs: PairAudit) -> Iterator[str]:
    accuracy = pairs.overall.accuracy.estimate
    if accuracy is None:
        yield f"Agreement with people is {pairs.overall.accuracy.note}."
    else:
        coin = ("", ": less often than a coin", ": not shown to beat a coin")
        said = which_side(pairs.overall.accuracy, 0.5, coin)
        yield (
            f"It sides with the majority of people on {percent(accuracy.value)} ({percent_interval(accuracy)},"
            f" {n_of(accuracy)}){said}."
        )
    longer = next(rival for rival in pairs.rivals if rival.name == LONGER)
    yield from _lead("“longer is better”", longer.lead)
    yield from _lead("one person who is measured against the others", pairs.ceiling.lead)
    yield from _of_order(pairs)
    more = ("more than it moves people", "less than it moves people", "")
    if said := which_side(pairs.length.difference, 0.0, more):
        yield f"Length moves it {said} ({_signed(pairs.length.difference)} logits for each doubling)."
    kin = ("It favours responses of its own family", "It disfavours responses of its own family", "")
    if (said := which_side(pairs.own_family.difference, 0.0, kin)) and (known := pairs.own_family.difference.estimate):
        yield f"{said}: {points(known.value)} more often than people ({points_interval(known)}, {n_of(known)})."


def _of_order(pairs: PairAudit) -> Iterator[str]:
    known, lean = pairs.position.consistency.estimate, ("; it leans to the first", "; it leans to the second", "")
    if known is not None:
        said = which_side(pairs.position.prefers_first, 0.5, lean)
        yield (
            f"In the other order it says the same on {percent(known.value)} ({percent_interval(known)},"
            f" {n_of(known)}){said}."
        )


def _lead(whom: str, lead: Finding) -> Iterator[str]:
    known = lead.estimate
    if known is not None:
        words = which_side(lead, 0.0, ("better than", "worse than", "not shown to differ from"))
        yield f"It is {words} {whom}: {points(known.value)} ({points_interval(known)}, {n_of(known)})."


def _of_ratings(judge: JudgeAudit) -> list[str]:
    found = []
    for rating in judge.ratings:
        whole = rating.ranks[0].judge
        ways = ("ranks as people do", "ranks against people", "does not rank as people do, as far as is shown")
        said = which_side(whole, 0.0, ways)
        if said:
            found.append(f"On {rating.criterion} it {said}: rank correlation {_signed(whole)}.")
        else:
            found.append(f"On {rating.criterion}, rank correlation with people is {whole.note}.")
    return found


def _signed(finding: Finding) -> str:
    known = finding.estimate
    if known is None:
        return finding.note
    return f"{plain_number(known.value, 2)} ({plain_interval(known.low, known.high, 2)}, {n_of(known)})"
