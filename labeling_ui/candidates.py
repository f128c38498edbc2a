"""What somebody may get next: candidates of each route, found in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import Route, Standing
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import items, leases

ItemRole = Literal["work", "gold", "qualification"]
# Among how many of a person's answers a repeat is drawn.
MOST_REPEATED = 10_000


@dataclass(frozen=True)
class Candidates:
    """Finds what a person may get in a study; only the first `policy.window` of each kind are looked at.

    Attributes:
        connection: To the store.
        study: Its name.
        person_id: Who is to get something.
        policy: How items are handed out.
        qualifying: Items on which each annotator has to qualify.
    """

    connection: Connection
    study: str
    person_id: str
    policy: AssignmentConfig
    qualifying: int = 0

    def standing(self) -> Standing:
        """Return where the person stands."""
        done, turns, repeats, qualified = self._counts()
        if qualified < self.qualifying and self._first(self._unseen("qualification")):
            return Standing(turns, work=False, gold=False, repeat=False, qualification=True)
        return Standing(
            turns,
            work=self._first(self._open()),
            gold=self._first(self._unseen("gold")),
            # Each repeat was of an item that lay far enough back: what is left of those may be repeated.
            repeat=done - self.policy.repeat_after > repeats,
        )

    def of(self, route: Route) -> Sequence[Row[Any]]:
        """Return the items that are open to the person on a route."""
        if route == "repeat":
            return self._repeats()
        if route != "work":
            return self._all(self._unseen(route))
        found = self._all(self._open())
        return [item for item in found if item.priority == found[0].priority]

    def _counts(self) -> tuple[int, int, int, int]:
        """Count the person's work that is done, their turns, repeats, and items on which they qualified."""
        done, work = leases.c.state == "done", items.c.role == "work"
        columns = (
            done & work & (leases.c.repeat == 0),
            items.c.role != "qualification",
            leases.c.repeat > 0,
            done & (items.c.role == "qualification"),
        )
        counted = (sa.func.coalesce(sa.func.sum(sa.case((column, 1), else_=0)), 0) for column in columns)
        mine = sa.select(*counted).select_from(leases.join(items, leases.c.item_id == items.c.id))
        first, second, third, fourth = self.connection.execute(mine.where(leases.c.person_id == self.person_id)).one()
        return int(first), int(second), int(third), int(fourth)

    def _open(self) -> sa.Select[Any]:
        # Written out and not as a parameter: else the index of open items is not used.
        return self._unseen("work").where(sa.text("items.slots > 0"))

    def _unseen(self, role: ItemRole) -> sa.Select[Any]:
        """Select items that the person never had in hand, in their order."""
        # One list for all items, where a subquery for each would look through the person's leases each time.
        had = sa.select(leases.c.item_id).where(leases.c.person_id == self.person_id, leases.c.state != "expired")
        query = sa.select(items).where(items.c.study == self.study, items.c.role == role, items.c.id.not_in(had))
        return query.order_by(items.c.priority, items.c.position)

    def _repeats(self) -> Sequence[Row[Any]]:
        """Return work that the person labelled some turns ago, and once."""
        mine = sa.select(leases).where(leases.c.person_id == self.person_id)
        again = mine.where(leases.c.repeat > 0).with_only_columns(leases.c.item_id)
        first = mine.join(items, leases.c.item_id == items.c.id).with_only_columns(*items.c)
        first = first.where(leases.c.state == "done", leases.c.repeat == 0)
        first = first.where(items.c.study == self.study, items.c.role == "work").order_by(leases.c.closed_at.desc())
        early = first.offset(self.policy.repeat_after).limit(MOST_REPEATED).subquery()
        return self._all(sa.select(early).where(early.c.id.not_in(again)))

    def _first(self, query: sa.Select[Any]) -> bool:
        return self.connection.execute(query.with_only_columns(items.c.id).limit(1)).first() is not None

    def _all(self, query: sa.Select[Any]) -> Sequence[Row[Any]]:
        return self.connection.execute(query.limit(self.policy.window)).all()
