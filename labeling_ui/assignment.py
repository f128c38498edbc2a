"""Which kind of item somebody gets next, and with what probability: pure functions, no database.

Three kinds compete for each turn: work (a comparison that still wants labels), gold (one whose answer is
known, to measure the annotator) and repeats (one that the annotator has labelled before, with the sides
changed, to measure consistency). The probability with which an item was routed to an annotator is stored
with the label, so that estimates can undo the routing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rewardkit.types import Order, content_id

Route = Literal["work", "gold", "repeat"]
ROUTES: tuple[Route, ...] = ("work", "gold", "repeat")


@dataclass(frozen=True)
class Policy:
    """How items are handed out.

    Attributes:
        overlap: Labels that each comparison gets.
        most_overlap: Labels that a comparison gets at most, where annotators disagree.
        agreement: Share of the leading choice below which another label is asked for.
        gold_early: Share of gold among the first `gold_early_turns` turns.
        gold_late: Share that it decays to.
        gold_early_turns: How long the early share holds, and how fast it decays after.
        repeats: Share of repeats with changed sides.
        repeat_after: Turns that lie at least between a comparison and its repeat.
        window: Open items among which one is drawn; more is more random and slower.
        least_lease: Seconds that a lease lasts at least.
        lease_medians: Medians of the time for a label that a lease lasts otherwise.
    """

    overlap: int = 3
    most_overlap: int = 5
    agreement: float = 0.7
    gold_early: float = 0.2
    gold_late: float = 0.05
    gold_early_turns: int = 25
    repeats: float = 0.05
    repeat_after: int = 10
    window: int = 32
    least_lease: float = 600.0
    lease_medians: float = 3.0


@dataclass(frozen=True)
class Standing:
    """Where an annotator stands.

    Attributes:
        turns: Items that they have labelled.
        work: Whether there is work for them.
        gold: Whether there is gold that they have not seen.
        repeat: Whether there is a comparison that may be repeated.
    """

    turns: int
    work: bool
    gold: bool
    repeat: bool


def gold_share(turns: int, policy: Policy) -> float:
    """Return the share of gold at a turn (from 0): high at first, then decaying to the late share."""
    over = max(0, turns - policy.gold_early_turns) / max(policy.gold_early_turns, 1)
    return policy.gold_late + (policy.gold_early - policy.gold_late) * math.exp(-over)


def chances(standing: Standing, policy: Policy) -> dict[Route, float]:
    """Return the probability of each route that is open; they sum to 1, or there is none.

    Without work only what was begun is left: gold and repeats for their own sake cost people time, and
    tell nothing of comparisons that nobody labels.
    """
    if not standing.work:
        return {}
    found: dict[Route, float] = {}
    if standing.gold:
        found["gold"] = gold_share(standing.turns, policy)
    if standing.repeat:
        found["repeat"] = policy.repeats
    return {"work": 1.0 - sum(found.values()), **found}


def draw(chance: dict[Route, float], u: float) -> Route | None:
    """Return the route that a number from [0, 1) falls on; None where none is open."""
    below = 0.0
    for route in ROUTES:
        below += chance.get(route, 0.0)
        if route in chance and u < below:
            return route
    return next(iter(chance), None)


def unit_number(*parts: str) -> float:
    """Return a number from [0, 1) that these words decide: the same again after a restart."""
    return int(content_id(*parts)[:13], 16) / 16.0**13


def order_shown(item_id: str, annotator_id: str, repeat: int) -> Order:
    """Return which side A stands on for an annotator: decided by a hash, and changed for each repeat."""
    first = unit_number("order", item_id, annotator_id) < 0.5
    return "ab" if first == (repeat % 2 == 0) else "ba"


def lease_seconds(median: float | None, policy: Policy) -> float:
    """Return how long an item stays in somebody's hands, from the median time for a label."""
    return max(policy.least_lease, policy.lease_medians * (median or 0.0))


def wants_another(choices: list[str], wanted: int, policy: Policy) -> bool:
    """Tell whether a comparison needs a further label, once all that were wanted are there."""
    if len(choices) < wanted or wanted >= policy.most_overlap or not choices:
        return False
    leading = max(choices.count(choice) for choice in set(choices))
    return leading / len(choices) < policy.agreement
