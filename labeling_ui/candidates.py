"""What somebody may get next: candidates of each route, found in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import Route, Standing
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import items, leases

ItemRole = Literal["work", "gold", "qualification"]
# Among how many of a person's answers a repeat is drawn.
MOST_REPEATED = 10_000
STUDY, PERSON = sa.bindparam("study", type_=sa.Text), sa.bindparam("person", type_=sa.Text)
WINDOW, AFTER = sa.bindparam("window", type_=sa.Integer), sa.bindparam("after", type_=sa.Integer)


def _counts() -> sa.Select[Any]:
    """Count a person's work that is done, their turns and answers, repeats, and items on which they qualified."""
    done, work = leases.c.state == "done", items.c.role == "work"
    columns = (
        done & work & (leases.c.repeat == 0),
        items.c.role != "qualification",
        done & (items.c.role != "qualification"),
        leases.c.repeat > 0,
        done & (items.c.role == "qualification"),
    )
    counted = (sa.func.coalesce(sa.func.sum(sa.case((column, 1), else_=0)), 0) for column in columns)
    mine = sa.select(*counted).select_from(leases.join(items, leases.c.item_id == items.c.id))
    return mine.where(leases.c.person_id == PERSON)


def _unseen(role: ItemRole) -> sa.Select[Any]:
    """Select items that a person never had in hand, in their order."""
    # One list for all items, where a subquery for each would look through the person's leases each time.
    had = sa.select(leases.c.item_id).where(leases.c.person_id == PERSON, leases.c.state != "expired")
    query = sa.select(items).where(items.c.study == STUDY, items.c.role == role, items.c.id.not_in(had))
    # Of what has a right answer the one slot is never used up. Written out and not as a parameter: else the index
    # of open items is not used.
    return query.where(sa.text("items.slots > 0")).order_by(items.c.priority, items.c.position).limit(WINDOW)


def _repeats() -> sa.Select[Any]:
    """Select work that a person labelled some turns ago, and once."""
    mine = sa.select(leases).where(leases.c.person_id == PERSON)
    again = mine.where(leases.c.repeat > 0).with_only_columns(leases.c.item_id)
    first = mine.join(items, leases.c.item_id == items.c.id).with_only_columns(*items.c)
    first = first.where(leases.c.state == "done", leases.c.repeat == 0)
    first = first.where(items.c.study == STUDY, items.c.role == "work").order_by(leases.c.closed_at.desc())
    early = first.offset(AFTER).limit(MOST_REPEATED).subquery()
    return sa.select(early).where(early.c.id.not_in(again)).limit(WINDOW)


# Put together once: building them costs more than running them.
COUNTS = _counts()
SELECTED: dict[Route, sa.Select[Any]] = {
    "work": _unseen("work"),
    "gold": _unseen("gold"),
    "qualification": _unseen("qualification"),
    "repeat": _repeats(),
}


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
        counted = self.connection.execute(COUNTS, {"person": self.person_id}).one()
        done, turns, answers, repeats, qualified = map(int, counted)
        if qualified < self.qualifying:
            # With none of them left there is nothing: nobody works who has not qualified.
            owed = bool(self._found("qualification", 1))
            return Standing(turns, answers, work=False, gold=False, repeat=False, qualification=owed)
        return Standing(
            turns,
            answers,
            work=bool(self._work),
            gold=bool(self._found("gold", 1)),
            # Each repeat was of an item that lay far enough back: what is left of those may be repeated.
            repeat=done - self.policy.repeat_after > repeats,
        )

    def of(self, route: Route) -> Sequence[Row[Any]]:
        """Return the items that are open to the person on a route."""
        return self._work if route == "work" else self._found(route, self.policy.window)

    @cached_property
    def _work(self) -> Sequence[Row[Any]]:
        found = self._found("work", self.policy.window)
        return [item for item in found if item.priority == found[0].priority]

    def _found(self, route: Route, most: int) -> Sequence[Row[Any]]:
        values = {"study": self.study, "person": self.person_id, "window": most, "after": self.policy.repeat_after}
        named = values if route == "repeat" else {name: values[name] for name in ("study", "person", "window")}
        return self.connection.execute(SELECTED[route], named).all()
