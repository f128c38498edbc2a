"""Leases whose time is over: their items can be given to others.

In a transaction of its own, before anything else is locked: items are locked in the order of their ids, and
nobody who holds one of them waits for another.
"""

from __future__ import annotations

from labeling_ui.leases import DUE, DUE_LOCKED, end, lock_items
from labeling_ui.trail import note
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store

MOST = 100


def expire(store: Store, study: str, now: float) -> int:
    """End leases of a study whose time is over; return how many.

    Args:
        store: Where they are.
        study: Its name.
        now: Seconds since 1970.
    """
    values = {"study": study, "now": now, "most": MOST}
    with store.reading() as connection:
        if connection.execute(DUE, {**values, "most": 1}).first() is None:
            return 0
    with store.writing() as connection:
        ended = connection.execute(DUE_LOCKED, values).all()
        lock_items(connection, items.c.id.in_({lease.item_id for lease in ended}))
        for lease in ended:
            end(connection, lease, "expired", now)
            note(connection, "expired", study=study, at=now, person_id=lease.person_id, lease=lease.id)
    return len(ended)
