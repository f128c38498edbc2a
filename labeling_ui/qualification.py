"""How well somebody did on items with a known answer."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.people import keep_details
from labeling_ui.steps import qualifies
from labeling_ui.study import Study
from rewardkit.store.labelling_tables import items, leases


def settle_qualification(connection: Connection, study: Study, person: Row[Any]) -> None:
    """Keep whether a person, whose row is locked, has qualified by now."""
    joined = sa.select(leases.c.choice, items.c.expected).join_from(leases, items, leases.c.item_id == items.c.id)
    mine = joined.where(leases.c.person_id == person.id, leases.c.state == "done", items.c.role == "qualification")
    answers = connection.execute(mine).all()
    right = sum(answer.choice == answer.expected for answer in answers)
    keep_details(connection, person, {"qualification": qualifies(right, len(answers), study)})
