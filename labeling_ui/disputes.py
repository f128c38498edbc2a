"""Comparisons that have all the labels they are to get, on which annotators disagree and nobody has decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from labeling_ui.answered import Answered
from labeling_ui.overview import is_work
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.store.tables import annotators, labels
from rewardkit.types import Comparison

AT_A_TIME = 500
ADJUDICATOR = "adjudicator"
"""The rater group of researchers who decide."""


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


def disputes(store: Store, answers: Iterable[Answered]) -> list[Dispute]:
    """Return the comparisons on which annotators disagree and nobody has decided, the most disputed first.

    One that still wants labels is none of them: those may settle it.

    Args:
        store: Holds the decisions.
        answers: All that was answered in the study.
    """
    by_item: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        if is_work(answer) and answer.task == "comparison":
            by_item[answer.item_id].append(answer)
    several = {item: said for item, said in by_item.items() if len({each.choice for each in said} - {None}) > 1}
    decided, wanted = _decided(store), _wanted(store, sorted(several))
    found = (
        Dispute(item, _comparison_of(said[0]), tuple(said))
        for item, said in several.items()
        # What somebody could not judge is no label, and another is asked in their place.
        if sum(not each.abstained for each in said) >= wanted.get(item, 0)
    )
    return sorted((each for each in found if each.comparison_id not in decided), key=lambda d: (d.leading, d.item_id))


def _comparison_of(answer: Answered) -> str:
    a, b = answer.responses
    return Comparison.identity(answer.texts[0].prompt_id, a, b)


def _wanted(store: Store, ids: Sequence[str]) -> dict[str, int]:
    """Return how many labels items are to get."""
    found: dict[str, int] = {}
    with store.reading() as connection:
        for start in range(0, len(ids), AT_A_TIME):
            part = items.c.id.in_(ids[start : start + AT_A_TIME])
            rows = connection.execute(sa.select(items.c.id, items.c.wanted).where(part))
            found.update({row.id: row.wanted for row in rows})
    return found


def _decided(store: Store) -> set[str]:
    with store.reading() as connection:
        return set(connection.execute(by_adjudicators()).scalars())


def by_adjudicators() -> sa.Select[Any]:
    """Select the comparisons that a researcher has decided, of whatever study."""
    query = sa.select(labels.c.comparison_id).join_from(labels, annotators, labels.c.annotator_id == annotators.c.id)
    return query.where(annotators.c.rater_group == ADJUDICATOR)
