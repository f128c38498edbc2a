"""Leases in the database: found and locked, ended, taken again; the steps that the desk's transactions are made of.

`slots` of an item and the states of its leases change together here and nowhere else, so that an item
never has more labels and leases than are wanted. On PostgreSQL items are locked FOR NO KEY UPDATE: rows that
refer to an item lock its key, and two of them that both wanted more would wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from labeling_ui.subjects import Task
from rewardkit.store.labelling_tables import items, leases

# Written out and not as parameters, as in the index of leases by item: else it is not used.
HELD = sa.text("leases.state IN ('open', 'done')")


@dataclass(frozen=True)
class Lease:
    """An item in somebody's hands.

    Attributes:
        id: An unguessable name, under which the answer is handed in.
        item_id: What was given.
        task: What is to be done with it.
        role: What it is for.
        responses: Ids of the responses that are to be labelled, sorted.
        shown: Their places in the order in which they are shown.
        repeat: 0; 1 where the annotator has labelled it before.
        sampling_prob: Probability with which this item was given to this annotator at this turn.
        leased_at: Since when, in seconds since 1970.
        expires_at: When it may go to somebody else.
        draft: What the page has kept of an answer that was not sent.
        answer: What was answered, as the page sent it.
        arm: Whether the answer is followed by what a judge said; None where the study has no such arms.
    """

    id: str
    item_id: str
    task: Task
    role: str
    responses: tuple[str, ...]
    shown: tuple[int, ...]
    repeat: int
    sampling_prob: float
    leased_at: float
    expires_at: float
    draft: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    arm: str | None = None


def lease_of(row: Row[Any]) -> Lease:
    """Return the lease of a row."""
    return Lease(
        id=row.id,
        item_id=row.item_id,
        task=row.task,
        role=row.role,
        responses=tuple(row.responses),
        shown=tuple(map(int, row.order_shown)),
        repeat=row.repeat,
        sampling_prob=row.sampling_prob,
        leased_at=row.leased_at,
        expires_at=row.expires_at,
        draft=row.draft,
        answer=row.answer,
        arm=row.arm,
    )


def row_of(lease: Lease, person_id: str) -> dict[str, Any]:
    """Return the row of a new lease."""
    return {
        "id": lease.id,
        "item_id": lease.item_id,
        "person_id": person_id,
        "repeat": lease.repeat,
        "order_shown": "".join(map(str, lease.shown)),
        "sampling_prob": lease.sampling_prob,
        "state": "open",
        "leased_at": lease.leased_at,
        "expires_at": lease.expires_at,
        "arm": lease.arm,
    }


def select_leases(*where: sa.ColumnElement[bool] | sa.TextClause) -> sa.Select[Any]:
    """Select leases with what is to be done with their items."""
    columns = sa.select(leases, items.c.task, items.c.role, items.c.responses)
    return columns.join_from(leases, items, leases.c.item_id == items.c.id).where(*where)


# Put together once: building them costs more than running them.
LOCKED = select_leases(leases.c.id == sa.bindparam("lease")).with_for_update(of=leases)
IN_HAND = select_leases(leases.c.person_id == sa.bindparam("person"), leases.c.state == "open")
DUE: sa.Select[Any] = (
    # Without what people wrote. The state is written out and not a parameter: else the index is not used.
    sa.select(leases.c.id, leases.c.item_id, leases.c.person_id, leases.c.repeat, items.c.role)
    .join_from(leases, items, leases.c.item_id == items.c.id)
    .where(items.c.study == sa.bindparam("study"), leases.c.expires_at < sa.bindparam("now"))
    .where(sa.text("leases.state = 'open'"))
    .limit(sa.bindparam("most", type_=sa.Integer))
)
DUE_LOCKED = DUE.with_for_update(of=leases, skip_locked=True)
_ITEM = sa.select(items.c.id).where(items.c.id == sa.bindparam("item"), items.c.slots > 0)
FREE = _ITEM.with_for_update(skip_locked=True, key_share=True)
FREE_LATER = _ITEM.with_for_update(key_share=True)
TAKE = sa.update(items).where(items.c.id == sa.bindparam("item")).values(slots=items.c.slots - 1)


def locked(connection: Connection, lease_id: str) -> Row[Any] | None:
    """Return a lease, which nobody else changes until the transaction ends."""
    return connection.execute(LOCKED, {"lease": lease_id}).first()


def in_hand(person_id: str) -> sa.ColumnElement[bool]:
    """Return the condition that a person has a lease in hand."""
    return (leases.c.person_id == person_id) & (leases.c.state == "open")


def lock_items(connection: Connection, where: sa.ColumnElement[bool]) -> None:
    """Lock several items, in an order that is the same for everybody who needs more than one."""
    connection.execute(sa.select(items.c.id).where(where).order_by(items.c.id).with_for_update(key_share=True)).all()


def end(connection: Connection, lease: Row[Any], state: str, now: float) -> None:
    """End a lease without an answer; its item can be given to others."""
    connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(state=state, closed_at=now))
    if uses_slot(lease):
        connection.execute(sa.update(items).where(items.c.id == lease.item_id).values(slots=items.c.slots + 1))


def take_again(connection: Connection, lease: Row[Any]) -> bool:
    """Take the item of a lease that has ended, if nobody else has it since; tell whether that went well."""
    same = (leases.c.item_id == lease.item_id) & (leases.c.person_id == lease.person_id)
    held = sa.select(leases.c.id).where(same, leases.c.repeat == lease.repeat, HELD)
    if connection.execute(held).first() is not None:
        return False
    return not uses_slot(lease) or take_slot(connection, lease.item_id)


def take_slot(connection: Connection, item_id: str, *, wait: bool = False) -> bool:
    """Use up one slot of an item, unless it has none, or (without waiting) somebody else is taking it now."""
    if connection.execute(FREE_LATER if wait else FREE, {"item": item_id}).first() is None:
        return False
    connection.execute(TAKE, {"item": item_id})
    return True


def uses_slot(lease: Row[Any]) -> bool:
    """Tell whether a lease counts towards the labels that its item wants."""
    return bool(lease.role == "work" and lease.repeat == 0)


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows whose keys are not there; return how many that were."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(list(rows)).on_conflict_do_nothing()
    return len(connection.execute(statement.returning(table.c.id)).all())
