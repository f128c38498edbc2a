"""The audit trail: who did what and when, appended in the transaction of the deed itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.store.labelling_tables import events


def note(  # noqa: PLR0913 - keyword-only past the first two
    connection: Connection, kind: str, *, study: str, at: float, person_id: str | None = None, **details: Any
) -> None:
    """Append an event.

    Args:
        connection: The transaction that does what is noted.
        kind: What happened ("joined", "answered", "refused", …).
        study: Where.
        at: When, in seconds since 1970.
        person_id: Who.
        details: What else is worth knowing; JSON values.
    """
    row = {"at": at, "study": study, "person_id": person_id, "kind": kind, "details": details}
    connection.execute(sa.insert(events).values(**row))
