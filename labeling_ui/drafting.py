"""Answers that are not finished: who writes keeps the item, and who was away too long gets it back if it is free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.leases import IN_HAND, locked, select_leases, take_again
from rewardkit.store.labelling_tables import leases


def write_draft(
    connection: Connection, lease_id: str, person_id: str, draft: Mapping[str, Any], until: tuple[float, float]
) -> bool:
    """Keep a draft, and the item with it; tell whether it is in the person's hands.

    Args:
        connection: The transaction.
        lease_id: What is being answered.
        person_id: By whom.
        draft: As the page sent it.
        until: When the lease ends then, in seconds since 1970, and for how long after it was given it may last.
    """
    lease = locked(connection, lease_id)
    if lease is None or lease.person_id != person_id:
        return False
    ends, longest = until
    ends = max(lease.expires_at, min(ends, lease.leased_at + longest))
    if lease.state != "open" and not _reopened(connection, lease, ends):
        return False
    connection.execute(sa.update(leases).where(leases.c.id == lease_id).values(draft=draft, expires_at=ends))
    return True


def taken_back(connection: Connection, person_id: str, ends: float) -> Row[Any] | None:
    """Give somebody the item back on which they had begun, if their time was over and nobody else took it.

    Args:
        connection: The transaction.
        person_id: Who has nothing in hand.
        ends: When the lease ends then, in seconds since 1970.
    """
    mine = select_leases(leases.c.person_id == person_id).order_by(leases.c.leased_at.desc()).limit(1)
    last = connection.execute(mine).first()
    if last is None or last.state != "expired" or last.draft is None:
        return None
    lease = locked(connection, last.id)
    assert lease is not None
    if not _reopened(connection, lease, ends):
        return None
    return connection.execute(IN_HAND, {"person": person_id}).first()


def _reopened(connection: Connection, lease: Row[Any], ends: float) -> bool:
    if lease.state != "expired" or connection.execute(IN_HAND, {"person": lease.person_id}).first() is not None:
        return False
    if not take_again(connection, lease):
        return False
    again = {"state": "open", "closed_at": None, "expires_at": ends}
    connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**again))
    return True
