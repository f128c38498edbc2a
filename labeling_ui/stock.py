"""Filling a study with items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labeling_ui.candidates import ItemRole
from labeling_ui.leases import insert_new
from labeling_ui.study import Study
from labeling_ui.subjects import SIZES, Task, require_one_prompt
from rewardkit.errors import DataError
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.types import Choice, content_id

AT_A_TIME = 100


def add_items(  # noqa: PLR0913 - keyword-only past the third
    store: Store,
    study: Study,
    sets: Iterable[Sequence[str]],
    *,
    task: Task = "comparison",
    role: ItemRole = "work",
    expected: Mapping[tuple[str, ...], Choice] | None = None,
    priority: int = 0,
) -> int:
    """Add sets of responses to be labelled; those that the study has in this role stay as they are.

    Args:
        store: Holds the responses.
        study: Gets the items.
        sets: Ids of responses to one prompt: two for a comparison, three to eight for a ranking.
        task: What is to be done with each set.
        role: What they are for.
        expected: The right choice of each (its ids sorted), for gold and qualification.
        priority: Smaller numbers come first.

    Returns:
        How many were added.

    Raises:
        DataError: A set has too few or too many responses, or they answer different prompts.
    """
    # What has a right answer is for everybody: its one slot is never used up.
    wanted = study.config.assignment.overlap if role == "work" else 1
    common = {"study": study.name, "task": task, "role": role, "priority": priority, "wanted": wanted, "slots": wanted}
    rows = [{**common, **_own(study.name, ids, task, role, expected or {})} for ids in map(_sorted, sets)]
    added = 0
    with store.writing() as connection:
        for at in range(0, len(rows), AT_A_TIME):
            part = rows[at : at + AT_A_TIME]
            require_one_prompt(connection, [row["responses"] for row in part])
            added += insert_new(connection, items, part)
    return added


def _sorted(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))


def _own(
    study: str, ids: tuple[str, ...], task: Task, role: ItemRole, expected: Mapping[tuple[str, ...], Choice]
) -> dict[str, Any]:
    """Return what distinguishes an item from the others that are added with it."""
    least, most = SIZES[task]
    if not least <= len(set(ids)) <= most or len(set(ids)) < len(ids):
        raise DataError(f"a {task} of {len(set(ids))} responses", where=", ".join(ids), expected=f"{least} to {most}")
    return {
        "id": content_id("item", study, role, task, *ids),
        "responses": list(ids),
        "expected": expected.get(ids),
        "position": int(content_id("position", study, *ids)[:12], 16),
    }
