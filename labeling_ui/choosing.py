"""Which of a store's records a study labels, and what the right answers to some of them are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from labeling_ui.subjects import SIZES, Task
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.types import Choice, Comparison

Ids = tuple[str, ...]


def sets_of(comparisons: Iterable[Comparison], task: Task) -> Iterator[Ids]:
    """Yield what is labelled together: comparisons, all responses of a prompt, or single responses.

    Args:
        comparisons: What there is.
        task: What is to be done.
    """
    if task == "comparison":
        yield from ((each.response_a, each.response_b) for each in comparisons)
        return
    by_prompt: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for each in comparisons:
        by_prompt[each.prompt_id].update({each.response_a: None, each.response_b: None})
    for responses in by_prompt.values():
        yield from ((one,) for one in responses) if task == "rating" else _pages(sorted(responses))


def known_answers(store: Store, source: str | None = None) -> dict[Ids, Choice]:
    """Return what humans unanimously said of comparisons, labels of the page itself left out.

    Args:
        store: Holds them.
        source: Only of this source; of all if absent.
    """
    human = {each.id for each in store.annotators().values() if each.kind == "human"}
    said: defaultdict[str, Counter[Choice]] = defaultdict(Counter)
    for each in store.labels():
        if each.choice and each.annotator_id in human and "lease" not in each.metadata:
            said[each.comparison_id][each.choice] += 1
    return {
        (c.comparison.response_a, c.comparison.response_b): next(iter(said[c.comparison.id]))
        for c in store.comparisons()
        if len(said[c.comparison.id]) == 1 and source in (None, c.comparison.source)
    }


def known_items(store: Store, study: str) -> set[Ids]:
    """Return what is labelled in a study to measure annotators, wherever it came from: it is no work."""
    return set(_items(store, items.c.study == study, items.c.role != "work"))


def work_items(store: Store, study: str) -> dict[Ids, None]:
    """Return what is labelled in a study already, in its order."""
    return dict.fromkeys(_items(store, items.c.study == study, items.c.role == "work"))


def _items(store: Store, *where: sa.ColumnElement[bool]) -> list[Ids]:
    query = sa.select(items.c.responses).where(*where).order_by(items.c.position)
    with store.reading() as connection:
        return [tuple(responses) for responses in connection.execute(query).scalars()]


def _pages(ids: list[str]) -> Iterator[Ids]:
    """Deal more responses than fit on a page into pages; what is left over and too few is not ranked."""
    least, most = SIZES["ranking"]
    for at in range(0, len(ids), most):
        if len(ids[at : at + most]) >= least:
            yield tuple(ids[at : at + most])
