"""How far a study is."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import sqlalchemy as sa

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


def of_person(store: Store, person_id: str) -> tuple[int, float | None]:
    """Return how many items a person has answered, and the median of the seconds that their last ones took."""
    mine = leases.c.person_id == person_id, leases.c.state == "done"
    took = sa.select(leases.c.closed_at - leases.c.leased_at).where(*mine).order_by(leases.c.closed_at.desc())
    with store.reading() as connection:
        done = connection.execute(sa.select(sa.func.count()).select_from(leases).where(*mine)).scalar_one()
        seconds = connection.execute(took.limit(LATELY)).scalars().all()
    return done, median(seconds) if seconds else None
