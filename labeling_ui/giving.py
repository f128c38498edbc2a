"""Giving an item to somebody, inside the desk's transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import chances, draw, lease_seconds, order_shown, unit_number
from labeling_ui.candidates import Candidates
from labeling_ui.leases import Lease, row_of, take_slot
from labeling_ui.reviewing import arm_of
from labeling_ui.study import Study
from rewardkit.store.labelling_tables import leases


@dataclass(frozen=True)
class Giving:
    """One turn of one person.

    Attributes:
        connection: The transaction.
        study: Which items there are, and how they are handed out.
        person: The person's row, locked.
        now: Seconds since 1970.
        median: Median time for a label lately, in seconds; None where nothing is known.
        wait: Whether to wait for items that others are taking now, where there is nothing else.
    """

    connection: Connection
    study: Study
    person: Row[Any]
    now: float
    median: float | None
    wait: bool = False

    def give(self) -> Lease | None:
        """Give the person an item, if there is one for them."""
        policy, qualification = self.study.config.assignment, self.study.config.qualification
        qualifying = qualification.items if qualification.source else 0
        open_to = Candidates(self.connection, self.study.name, self.person.id, policy, qualifying)
        standing = open_to.standing()
        turns, most = standing.turns, self.study.config.most_items
        if most is not None and standing.answers >= most and not standing.qualification:
            return None
        chance = chances(standing, policy)
        route = draw(chance, self._number("route", turns))
        if route is None:
            return None
        candidates = open_to.of(route)
        first = int(self._number("item", turns) * len(candidates))
        turned = (*candidates[first:], *candidates[:first])
        for wait in (False, True) if self.wait else (False,):
            for candidate in turned:
                if route != "work" or take_slot(self.connection, candidate.id, wait=wait):
                    given = self._lease(candidate, int(route == "repeat"), chance[route] / len(candidates))
                    self.connection.execute(sa.insert(leases).values(row_of(given, self.person.id)))
                    return given
        return None

    def _number(self, what: str, turns: int) -> float:
        return unit_number(what, self.study.name, self.person.id, str(turns))

    def _arm(self, item: Row[Any], repeat: int) -> str | None:
        review = self.study.config.review
        # Of work alone: gold measures the annotator, and a repeat their consistency.
        if review is None or item.role != "work" or repeat:
            return None
        return arm_of(review, self.study.name, item.id, self.person.id)

    def _lease(self, item: Row[Any], repeat: int, probability: float) -> Lease:
        return Lease(
            id=secrets.token_urlsafe(18),
            item_id=item.id,
            task=item.task,
            role=item.role,
            responses=tuple(item.responses),
            shown=order_shown(item.id, self.person.annotator_id, repeat, len(item.responses)),
            repeat=repeat,
            sampling_prob=probability,
            leased_at=self.now,
            expires_at=self.now + lease_seconds(self.median, self.study.config.assignment),
            arm=self._arm(item, repeat),
        )
