"""What somebody may get next: candidates of each route, found in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import Route
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import items, leases

ItemRole = Literal["work", "gold", "qualification"]


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

    def of_routes(self) -> dict[Route, Sequence[Row[Any]]]:
        """Return the items that are open to the person, by route."""
        if owed := self._qualification():
            return {"qualification": owed}
        return {"work": self._work(), "gold": self._all(self._unseen("gold")), "repeat": self._repeats()}

    def _qualification(self) -> Sequence[Row[Any]]:
        if not self.qualifying:
            return ()
        done = sa.select(sa.func.count()).select_from(leases.join(items, leases.c.item_id == items.c.id))
        done = done.where(leases.c.person_id == self.person_id, leases.c.state == "done")
        if self.connection.execute(done.where(items.c.role == "qualification")).scalar_one() >= self.qualifying:
            return ()
        return self._all(self._unseen("qualification"))

    def _work(self) -> Sequence[Row[Any]]:
        """Return open items that the person never had in hand, of the first priority there is."""
        # Written out and not as a parameter: else the index of open items is not used.
        found = self._all(self._unseen("work").where(sa.text("items.slots > 0")))
        return [item for item in found if item.priority == found[0].priority]

    def _unseen(self, role: ItemRole) -> sa.Select[Any]:
        had = sa.exists().where(
            leases.c.item_id == items.c.id, leases.c.person_id == self.person_id, leases.c.state != "expired"
        )
        query = sa.select(items).where(items.c.study == self.study, items.c.role == role, ~had)
        return query.order_by(items.c.priority, items.c.position)

    def _repeats(self) -> Sequence[Row[Any]]:
        """Return work that the person labelled some turns ago, and once."""
        again = leases.alias("again")
        repeated = sa.exists().where(
            again.c.item_id == leases.c.item_id, again.c.person_id == self.person_id, again.c.repeat > 0
        )
        mine = sa.select(items, repeated.label("repeated")).join_from(leases, items, leases.c.item_id == items.c.id)
        mine = mine.where(leases.c.person_id == self.person_id, leases.c.state == "done", leases.c.repeat == 0)
        mine = mine.where(items.c.study == self.study, items.c.role == "work").order_by(leases.c.closed_at.desc())
        return [item for item in self._all(mine.offset(self.policy.repeat_after)) if not item.repeated]

    def _all(self, query: sa.Select[Any]) -> Sequence[Row[Any]]:
        return self.connection.execute(query.limit(self.policy.window)).all()
