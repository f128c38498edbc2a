"""Comparisons on which annotators disagree, and the researcher's word on them.

The decision is a label like others, of an annotator in the rater group "adjudicator": what the annotators said stays,
and whoever aggregates sees who said what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Row

from labeling_ui.answered import Answered
from labeling_ui.office import Office
from labeling_ui.overview import is_work
from labeling_ui.people import Refused
from labeling_ui.subjects import Subject, load_subject
from labeling_ui.trail import note
from rewardkit.store.labelling_tables import items
from rewardkit.store.rows import encode
from rewardkit.store.store import Store, insert
from rewardkit.store.tables import annotators, labels
from rewardkit.types import Annotator, Choice, Comparison, Label

ADJUDICATOR = "adjudicator"
LONGEST_REASON = 5_000


@dataclass(frozen=True)
class Dispute:
    """An item on which annotators disagree.

    Attributes:
        item_id: Of the item.
        comparison_id: What the decision is about.
        answers: What the annotators said.
    """

    item_id: str
    comparison_id: str
    answers: tuple[Answered, ...]

    @property
    def choices(self) -> Counter[str]:
        """How often each choice was made."""
        return Counter(each.choice for each in self.answers if each.choice is not None)

    @property
    def leading(self) -> float:
        """Share of the leading choice."""
        return max(self.choices.values()) / self.choices.total()


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


def disputes(store: Store, answers: Iterable[Answered]) -> list[Dispute]:
    """Return the comparisons on which annotators disagree and nobody has decided, the most disputed first.

    Args:
        store: Holds the decisions.
        answers: All that was answered in the study.
    """
    by_item: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        if is_work(answer) and answer.task == "comparison":
            by_item[answer.item_id].append(answer)
    several = {item: said for item, said in by_item.items() if len({each.choice for each in said} - {None}) > 1}
    decided = _decided(store)
    found = (Dispute(item, _comparison_of(said[0]), tuple(said)) for item, said in several.items())
    return sorted((each for each in found if each.comparison_id not in decided), key=lambda d: (d.leading, d.item_id))


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
        if connection.execute(_by_adjudicators().where(labels.c.comparison_id == comparison.id)).first():
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


def _comparison_of(answer: Answered) -> str:
    a, b = answer.responses
    return Comparison.identity(answer.texts[0].prompt_id, a, b)


def _decided(store: Store) -> set[str]:
    with store.reading() as connection:
        return set(connection.execute(_by_adjudicators()).scalars())


def _by_adjudicators() -> sa.Select[Any]:
    query = sa.select(labels.c.comparison_id).join_from(labels, annotators, labels.c.annotator_id == annotators.c.id)
    return query.where(annotators.c.rater_group == ADJUDICATOR)
