"""How far a judge's words move people: what they chose blind, what the judge preferred, what they chose after it.

The trail keeps all three of each review. A change of mind is measured on the same person and item; how often people
change without a judge's words is told by the planned repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from labeling_ui.quality import Share
from rewardkit.store.labelling_tables import events, items, leases
from rewardkit.store.store import Store
from rewardkit.store.tables import responses
from rewardkit.types import Choice

MOVED = ("blind", "judge", "after")


@dataclass(frozen=True)
class Anchoring:
    """What became of the reviews of a study.

    Attributes:
        changed: Whose choice was another after the judge's words.
        followed: Of those who had chosen otherwise than the judge: who took its choice over.
        left: Of those who had chosen as the judge: who gave that up.
        agreed_before: Blind choices that were the judge's.
        agreed_after: The same of choices after its words.
        points: What was made of its points: verified, edited, rejected.
        failed: Reviews that there was no answer of the judge for.
    """

    changed: Share
    followed: Share
    left: Share
    agreed_before: Share
    agreed_after: Share
    points: Mapping[str, int]
    failed: int


@dataclass(frozen=True)
class Moved:
    """One review.

    Attributes:
        prompt_id: What it was about.
        blind: The choice before, in the comparison's frame; None where it could not be judged.
        judge: The judge's; None where it gave no verdict.
        after: The choice after its words.
    """

    prompt_id: str
    blind: Choice | None
    judge: Choice | None
    after: Choice | None

    @property
    def changed(self) -> bool:
        """Whether the choice is another."""
        return self.after != self.blind

    @property
    def agreed(self) -> bool:
        """Whether the blind choice was the judge's."""
        return self.blind == self.judge

    @property
    def agrees(self) -> bool:
        """Whether the choice after its words is the judge's."""
        return self.after == self.judge


def anchoring(store: Store, study: str) -> Anchoring | None:
    """Read how far a judge's words have moved the annotators of a study; None where nothing was reviewed."""
    reviews = (
        sa.select(responses.c.prompt_id, events.c.details)
        .join_from(events, leases, leases.c.id == events.c.details["lease"].as_string())
        .join(items, items.c.id == leases.c.item_id)
        .join(responses, responses.c.id == items.c.responses[0].as_string())
        .where(events.c.study == study, events.c.kind == "reviewed")
    )
    failures = sa.select(sa.func.count()).where(events.c.study == study, events.c.kind == "review failed")
    with store.reading() as connection:
        found = connection.execute(reviews).all()
        failed = connection.execute(failures).scalar_one()
    if not found and not failed:
        return None
    moves = [Moved(row.prompt_id, *(row.details[name] for name in MOVED)) for row in found]
    points: Counter[str] = Counter()
    for row in found:
        points.update(row.details["points"])
    return measured(moves, points, failed)


def measured(moves: Iterable[Moved], points: Mapping[str, int], failed: int) -> Anchoring:
    """Count reviews; one without a choice before or after tells nothing."""
    known = [each for each in moves if each.blind is not None and each.after is not None]
    judged = [each for each in known if each.judge is not None]
    return Anchoring(
        changed=Share.of((each.prompt_id, each.changed) for each in known),
        followed=Share.of((each.prompt_id, each.agrees) for each in judged if not each.agreed),
        left=Share.of((each.prompt_id, each.changed) for each in judged if each.agreed),
        agreed_before=Share.of((each.prompt_id, each.agreed) for each in judged),
        agreed_after=Share.of((each.prompt_id, each.agrees) for each in judged),
        points=points,
        failed=failed,
    )
