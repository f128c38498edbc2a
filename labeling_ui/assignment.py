"""Which kind of item somebody gets next, and with what probability: pure functions, no database.

Three kinds compete for each turn: work (an item that still wants labels), gold (one whose answer is known,
to measure the annotator) and repeats (one that the annotator has labelled before, with the sides changed, to
measure consistency). Before all of it come the items on which an annotator qualifies. The probability with
which an item was routed to an annotator is stored with the label, so that estimates can undo the routing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rewardkit.label_config import AssignmentConfig
from rewardkit.types import content_id

Route = Literal["work", "gold", "repeat", "qualification"]
ROUTES: tuple[Route, ...] = ("work", "gold", "repeat", "qualification")


@dataclass(frozen=True)
class Standing:
    """Where an annotator stands.

    Attributes:
        turns: Items that they got, whatever became of them.
        answers: Items that they have answered.
        work: Whether there is work for them.
        gold: Whether there is gold that they have not seen.
        repeat: Whether there is an item that may be repeated.
        qualification: Whether there are items on which they have still to qualify.
    """

    turns: int
    answers: int
    work: bool
    gold: bool
    repeat: bool
    qualification: bool = False


def gold_share(turns: int, policy: AssignmentConfig) -> float:
    """Return the share of gold at a turn (from 0): high at first, then decaying to the late share."""
    over = max(0, turns - policy.gold_early_turns) / max(policy.gold_early_turns, 1)
    return policy.gold_late + (policy.gold_early - policy.gold_late) * math.exp(-over)


def chances(standing: Standing, policy: AssignmentConfig) -> dict[Route, float]:
    """Return the probability of each route that is open; they sum to 1, or there is none.

    Without work only what was begun is left: gold and repeats for their own sake cost people time, and
    tell nothing of items that nobody labels.
    """
    if standing.qualification:
        return {"qualification": 1.0}
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


def order_shown(item_id: str, annotator_id: str, repeat: int, count: int = 2) -> tuple[int, ...]:
    """Return the places of an item's responses in the order in which an annotator sees them.

    Decided by a hash, and turned round for each repeat.
    """
    keys = [unit_number("order", item_id, annotator_id, str(place)) for place in range(count)]
    shown = sorted(range(count), key=keys.__getitem__)
    return tuple(shown if repeat % 2 == 0 else reversed(shown))


def lease_seconds(median: float | None, policy: AssignmentConfig) -> float:
    """Return how long an item stays in somebody's hands, from the median time for a label."""
    lasts = max(policy.least_lease, policy.lease_medians * (median or 0.0))
    return min(lasts, max(policy.least_lease, policy.longest_lease))


def wants_another(choices: list[str], wanted: int, policy: AssignmentConfig) -> bool:
    """Tell whether a comparison needs a further label, once all that were wanted are there."""
    if len(choices) < wanted or wanted >= policy.most_overlap or not choices:
        return False
    leading = max(choices.count(choice) for choice in set(choices))
    return leading / len(choices) < policy.agreement
