"""Answers that are not finished: who writes keeps the item, and who was away too long gets it back if it is free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.leases import IN_HAND, locked, select_leases, take_again
from rewardkit.store.labelling_tables import leases


@dataclass(frozen=True)
class Until:
    """How long an item stays in somebody's hands from now on.

    Attributes:
        now: Seconds since 1970.
        lasts: Seconds for which a lease lasts.
        longest: Seconds after it was given for which it lasts at most, however long somebody writes.
    """

    now: float
    lasts: float
    longest: float = math.inf


def write_draft(connection: Connection, lease_id: str, person_id: str, draft: Mapping[str, Any], until: Until) -> bool:
    """Keep a draft, and the item with it; tell whether it is in the person's hands.

    Args:
        connection: The transaction.
        lease_id: What is being answered.
        person_id: By whom; their row is locked.
        draft: As the page sent it.
        until: How long it stays there.
    """
    lease = locked(connection, lease_id)
    if lease is None or lease.person_id != person_id:
        return False
    if lease.state != "open":
        if not _reopened(connection, lease, until):
            return False
        ends = until.now + until.lasts
    else:
        ends = max(lease.expires_at, min(until.now + until.lasts, lease.leased_at + until.longest))
    connection.execute(sa.update(leases).where(leases.c.id == lease_id).values(draft=draft, expires_at=ends))
    return True


def taken_back(connection: Connection, person_id: str, until: Until) -> Row[Any] | None:
    """Give somebody the item back on which they had begun, if their time was over and nobody else took it.

    Args:
        connection: The transaction.
        person_id: Who has nothing in hand; their row is locked.
        until: How long it stays there.
    """
    mine = select_leases(leases.c.person_id == person_id).order_by(leases.c.leased_at.desc()).limit(1)
    last = connection.execute(mine).first()
    if last is None or last.state != "expired" or last.draft is None:
        return None
    lease = locked(connection, last.id)
    assert lease is not None
    if not _reopened(connection, lease, until):
        return None
    return connection.execute(IN_HAND, {"person": person_id}).first()


def _reopened(connection: Connection, lease: Row[Any], until: Until) -> bool:
    if lease.state != "expired" or connection.execute(IN_HAND, {"person": lease.person_id}).first() is not None:
        return False
    if not take_again(connection, lease):
        return False
    # The time away is not time that it took.
    begun = lease.leased_at + max(0.0, until.now - lease.expires_at)
    again = {"state": "open", "closed_at": None, "leased_at": begun, "expires_at": until.now + until.lasts}
    connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**again))
    return True
