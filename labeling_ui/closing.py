"""Whether a lease may be answered, and what its answer means for the item; inside the desk's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.assignment import wants_another
from labeling_ui.leases import HELD, locked, take_again
from labeling_ui.people import Refused
from labeling_ui.recording import AnyAnswer, Circumstances, Recorded
from labeling_ui.study import Study
from rewardkit.store.labelling_tables import items, leases

RELOAD = "reload the page; the next item is waiting there"


def answerable(connection: Connection, study: Study, lease_id: str, person_id: str, now: float) -> Row[Any]:
    """Return a lease that a person may answer now, locked.

    Raises:
        Refused: It is not theirs, was answered already, has ended and gone to somebody else, or the answer
            came too fast.
    """
    lease = locked(connection, lease_id)
    if lease is None or lease.person_id != person_id:
        raise Refused("this item was not given to you", fix=RELOAD)
    if lease.state == "done":
        raise Refused("this item is answered already", fix=RELOAD)
    if now - lease.leased_at < study.config.least_seconds:
        raise Refused("that was too fast to have read everything", fix="read, then send it again")
    if lease.state != "open" and not take_again(connection, lease):
        raise Refused("your time for this item was over, and it went to others", fix=RELOAD)
    return lease


def circumstances(
    study: Study, lease: Row[Any], person: Row[Any], now: float, *, about: Mapping[str, Any] | None = None
) -> Circumstances:
    """Return how an answer came about.

    Args:
        study: What was asked.
        lease: What it answers; its time counts from the showing, or from the blind answer that it follows.
        person: Whose it is.
        now: Seconds since 1970.
        about: What else is known about it.
    """
    return Circumstances(
        annotator_id=person.annotator_id,
        lease_id=lease.id,
        shown=tuple(map(int, lease.order_shown)),
        repeat=lease.repeat,
        sampling_prob=lease.sampling_prob,
        seconds=_seconds(lease, now, after=bool(about)),
        at=now,
        guideline_version=person.details.get("guidelines"),
        earlier=lease.records or {},
        scale=study.scale,
        rubric_version=study.rubric_version,
        rates=study.config.criteria == "rate",
        about={**({"arm": lease.arm} if lease.arm else {}), **(about or {})},
    )


def _seconds(lease: Row[Any], now: float, *, after: bool) -> float:
    """Return what an answer took; one that is changed later keeps that, and a review begins with the blind answer."""
    if lease.state != "done":
        return float(now - lease.leased_at)
    return float(now - lease.closed_at if after else lease.closed_at - lease.leased_at)


def ask_again(
    connection: Connection, study: Study, item_id: str, recorded: Recorded, *, before: AnyAnswer | None = None
) -> None:
    """Open a further slot for an item that could not be judged, or that annotators disagree on.

    Args:
        connection: The transaction.
        study: How many labels are wanted.
        item_id: What was labelled.
        recorded: What was made of the answer.
        before: The answer that it replaces.
    """
    same = sa.select(items).where(items.c.id == item_id)
    item = connection.execute(same.with_for_update(key_share=True)).one()
    more = _more(connection, study, item, recorded, before)
    if any(more):
        slots, wanted = more
        changed = {"slots": item.slots + slots, "wanted": item.wanted + wanted}
        connection.execute(sa.update(items).where(items.c.id == item_id).values(**changed))


def _more(
    connection: Connection, study: Study, item: Row[Any], recorded: Recorded, before: AnyAnswer | None
) -> tuple[int, int]:
    """Return how many slots are opened, and how many labels are wanted besides."""
    abstained_before = before is not None and before.abstains
    if recorded.abstained:
        return (0 if abstained_before else 1), 0
    if abstained_before:
        # Somebody else was asked in their place: that slot is no longer needed, or a label too many is wanted now.
        return (-1, 0) if item.slots > 0 else (0, 1)
    mine = sa.select(leases.c.choice).where(leases.c.item_id == item.id, leases.c.state == "done", HELD)
    choices = [choice for choice in connection.execute(mine.where(leases.c.repeat == 0)).scalars() if choice]
    return (1, 1) if wants_another(choices, item.wanted, study.config.assignment) else (0, 0)
