"""The researcher's word on comparisons on which annotators disagree.

The decision is a label like others, of an annotator in the rater group "adjudicator": what the annotators said stays,
and whoever aggregates sees who said what.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Row

from labeling_ui.disputes import ADJUDICATOR, Dispute, by_adjudicators
from labeling_ui.office import Office
from labeling_ui.people import Refused
from labeling_ui.subjects import Subject, load_subject
from labeling_ui.trail import note
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import items
from rewardkit.store.rows import encode
from rewardkit.store.store import Store
from rewardkit.store.tables import annotators, labels
from rewardkit.types import Annotator, Choice, Comparison, Label

LONGEST_REASON = 5_000


@dataclass(frozen=True)
class Decision:
    """What a researcher says of a comparison.

    Attributes:
        choice: In the frame of the comparison.
        strength: How much better, 1 to 3; only with a preference.
        why: In the researcher's words.
    """

    choice: Choice
    strength: int | None = None
    why: str = ""


def subject_of(store: Store, dispute: Dispute) -> Subject:
    """Return the texts that the annotators saw."""
    with store.reading() as connection:
        return load_subject(connection, dispute.answers[0].responses)


def decide(office: Office, by: Row[Any], item_id: str, decision: Decision) -> Label:
    """Store a researcher's decision.

    Args:
        office: Of the study.
        by: The researcher's row.
        item_id: What is decided.
        decision: What holds.

    Raises:
        Refused: There is no such item, it is decided already, or the decision does not hold together.
    """
    _require_whole(decision)
    at, study = office.desk.clock(), office.desk.study
    with office.store.writing() as connection:
        item = connection.execute(_one(study.name, item_id).with_for_update(key_share=True)).first()
        if item is None:
            raise Refused("there is no such item in this study", fix="reload the page")
        subject = load_subject(connection, item.responses)
        comparison = Comparison.of(subject.prompt.id, *item.responses)
        if connection.execute(by_adjudicators().where(labels.c.comparison_id == comparison.id)).first():
            raise Refused("somebody has decided this meanwhile", fix="go on with the next one")
        name = connection.execute(sa.select(annotators.c.name).where(annotators.c.id == by.annotator_id)).scalar_one()
        annotator = Annotator.of("human", name, rater_group=ADJUDICATOR)
        label = Label.of(
            comparison.id,
            annotator.id,
            choice=decision.choice,
            strength=decision.strength,
            rationale=decision.why,
            order_shown="ab",
            guideline_version=study.guidelines.version,
            created_at=datetime.fromtimestamp(at, UTC),
            metadata={"adjudicates": True},
        )
        insert(connection, map(encode, (comparison, annotator, label)))
        note(connection, "adjudicated", study=study.name, at=at, person_id=by.id, item=item_id, label=label.id)
    return label


def _require_whole(decision: Decision) -> None:
    if decision.choice not in get_args(Choice):
        raise Refused("no decision is chosen", fix="choose one")
    strong = decision.strength in (1, 2, 3) if decision.choice in ("a", "b") else decision.strength is None
    if not strong:
        raise Refused("a strength belongs to a preference, and to nothing else", fix="choose again")
    if len(decision.why) > LONGEST_REASON:
        raise Refused(f"a reason has up to {LONGEST_REASON} characters", fix="shorten it")


def _one(study: str, item_id: str) -> sa.Select[Any]:
    return sa.select(items).where(items.c.id == item_id, items.c.study == study, items.c.task == "comparison")
