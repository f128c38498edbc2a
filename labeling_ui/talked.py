"""What was answered in conversations, in the form of all other answers: they are made of replies, and have no items.

A label names the conversation and the turn that it was given in, which stand for the item: the same two replies may
come again, in another turn or to somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rewardkit.store.labelling_tables import conversations, people
from rewardkit.store.tables import comparisons, labels

PLACES = {"ab": (0, 1), "ba": (1, 0)}


def talked(connection: Connection, study: str) -> Sequence[sa.Row[Any]]:
    """Return the labels that people gave to replies in their own conversations, the latest version of each."""
    if connection.execute(sa.select(conversations.c.id).where(conversations.c.study == study).limit(1)).first() is None:
        return ()
    later = labels.alias("later")
    given = labels.c.metadata["conversation"].as_string() == conversations.c.id
    query = (
        sa.select(labels, comparisons.c.response_a, comparisons.c.response_b, conversations.c.person_id)
        .join_from(conversations, people, conversations.c.person_id == people.c.id)
        .join(labels, (labels.c.annotator_id == people.c.annotator_id) & given)
        .join(comparisons, labels.c.comparison_id == comparisons.c.id)
        .where(conversations.c.study == study, ~sa.exists().where(later.c.supersedes == labels.c.id))
    )
    return connection.execute(query).all()


def fields_of(row: sa.Row[Any]) -> dict[str, Any]:
    """Return what such a label says, under the names of `labeling_ui.answered.Answered`; its texts apart."""
    return {
        "lease_id": row.metadata.get("lease", row.id),
        "item_id": f"{row.metadata['conversation']}/{row.metadata['turn']}",
        "person_id": row.person_id,
        "task": "comparison",
        "role": "work",
        "expected": None,
        "responses": (row.response_a, row.response_b),
        "shown": PLACES[row.order_shown or "ab"],
        "repeat": row.repeat,
        "choice": row.choice,
        "answer": {} if row.strength is None else {"strength": row.strength},
        "seconds": row.seconds or 0.0,
        "at": datetime.fromisoformat(row.created_at).timestamp(),
    }
