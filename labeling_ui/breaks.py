"""Breaks: the time for an item stands still, and the item waits for as long as a break may last."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from labeling_ui.desk import Desk
from labeling_ui.leases import in_hand
from labeling_ui.people import active_person, keep_details
from labeling_ui.talk import wait_later
from labeling_ui.trail import note
from rewardkit.store.labelling_tables import leases

LONGEST = 3600.0
"""Seconds for which an item waits at most."""


def pause(desk: Desk, person_id: str) -> None:
    """Begin a break of a person; what they have in hand stays theirs for an hour more than its lease lasts.

    Raises:
        Refused: The person is not known here, or paused by the researcher.
    """
    with desk.store.writing() as connection:
        person = active_person(connection, desk.study.name, person_id)
        if not person.details.get("break"):
            _shift(connection, person_id, shown=0.0, ends=LONGEST)
            keep_details(connection, person, {"break": desk.clock()})
            note(connection, "break began", study=desk.study.name, at=desk.clock(), person_id=person_id)


def resume(desk: Desk, person_id: str) -> None:
    """End a break; the time for what the person has in hand goes on from where it stood.

    Raises:
        Refused: The person is not known here, or paused by the researcher.
    """
    with desk.store.writing() as connection:
        person = active_person(connection, desk.study.name, person_id)
        if began := person.details.get("break"):
            away = desk.clock() - began
            _shift(connection, person_id, shown=away, ends=away - LONGEST)
            wait_later(connection, person_id, away)
            keep_details(connection, person, {"break": None})
            note(connection, "break ended", study=desk.study.name, at=desk.clock(), person_id=person_id)


def _shift(connection: Connection, person_id: str, *, shown: float, ends: float) -> None:
    """Move the times of what a person has in hand, by seconds."""
    later = {"leased_at": leases.c.leased_at + shown, "expires_at": leases.c.expires_at + ends}
    connection.execute(sa.update(leases).where(in_hand(person_id)).values(**later))
