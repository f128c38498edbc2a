"""How far a study is."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.store.labelling_tables import items, leases
from rewardkit.store.store import Store

LATELY = 20


@dataclass(frozen=True)
class Progress:
    """Labels of a study's work.

    Attributes:
        items: Comparisons to be labelled.
        wanted: Labels that they are to get.
        done: Labels that they have; what somebody could not judge does not count.
        leased: Comparisons in somebody's hands.
    """

    items: int
    wanted: int
    done: int
    leased: int


def progress_of(store: Store, study: str) -> Progress:
    """Count the labels that a study wants, has, and waits for."""
    of_work = (items.c.study == study) & (items.c.role == "work")
    totals = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(items.c.wanted), 0),
        sa.func.coalesce(sa.func.sum(items.c.slots), 0),
    ).where(of_work)
    leased = sa.select(sa.func.count()).select_from(leases.join(items, leases.c.item_id == items.c.id))
    leased = leased.where(of_work, leases.c.state == "open", leases.c.repeat == 0)
    with store.reading() as connection:
        count, wanted, slots = map(int, connection.execute(totals).one())
        in_hand = connection.execute(leased).scalar_one()
    return Progress(count, wanted, wanted - slots - in_hand, in_hand)


_LATELY = (
    sa.select(leases.c.closed_at - leases.c.leased_at, sa.func.count().over())
    .where(leases.c.person_id == sa.bindparam("person"), leases.c.state == "done")
    .order_by(leases.c.closed_at.desc())
    .limit(LATELY)
)


def of_person(connection: Connection, person_id: str) -> tuple[int, float | None]:
    """Return how many items a person has answered, and the median of the seconds that their last ones took."""
    rows = connection.execute(_LATELY, {"person": person_id}).all()
    return (rows[0][1], median(seconds for seconds, _ in rows)) if rows else (0, None)
