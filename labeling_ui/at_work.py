"""Who is at work now: they answered lately, and have something in hand."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from labeling_ui.answered import Answered
from rewardkit.store.labelling_tables import conversations, leases
from rewardkit.store.store import Store

LATELY = 900.0


def at_work(store: Store, answers: Iterable[Answered], now: float) -> int:
    """Count the annotators who are at work; whoever is through has nothing in hand any more.

    Args:
        store: Where their items and conversations are.
        answers: All that was answered.
        now: Seconds since 1970.
    """
    lately = sorted({each.person_id for each in answers if each.at > now - LATELY})
    # An item, an answer that they are to review, a conversation.
    in_hand = sa.or_(leases.c.state == "open", sa.and_(leases.c.state == "done", leases.c.review == "open"))
    query = sa.union(
        sa.select(leases.c.person_id).where(in_hand, leases.c.person_id.in_(lately)),
        sa.select(conversations.c.person_id).where(
            conversations.c.state == "open", conversations.c.person_id.in_(lately)
        ),
    )
    with store.reading() as connection:
        return len(connection.execute(query).all())
