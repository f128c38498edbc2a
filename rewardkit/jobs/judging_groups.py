"""Which comparisons the stage `judge` shows as lists, and which pair by pair.

A limit chooses comparisons by their ids, as it does without groups: of a group of which it lets through some pairs, all
responses are shown, and those pairs are labelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from rewardkit.progress import log
from rewardkit.store.groups import Group, GroupKey, groups, labelled_of, large_groups, outside_groups
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Order

if TYPE_CHECKING:
    from rewardkit.judge.judges import Judge
    from rewardkit.judge.list_contract import ListProtocol
    from rewardkit.judge.ranking_tasks import GroupLeft
    from rewardkit.judge_config import JudgeConfig


def pair_ids(store: Store, config: JudgeConfig) -> Iterator[str]:
    """Yield the ids of the comparisons that are judged pair by pair, in their order."""
    if config.list_protocol is None:
        yield from islice(store.ids("comparisons"), config.limit)
        return
    last = _last(store, config)
    for item in outside_groups(store, _too_large(store, config)):
        if last is not None and item > last:
            return
        yield item


def groups_left(store: Store, judge: Judge[ListProtocol], config: JudgeConfig) -> Iterator[GroupLeft]:
    """Yield the groups of which labels are left to be made, one of them in memory at a time."""
    last = _last(store, config)
    for group in groups(store, _too_large(store, config)):
        if left := _left(store, judge, group, config, last):
            yield _with_texts(store, group, left)


def say_too_large(store: Store, config: JudgeConfig) -> None:
    """Say that there are groups too large to be shown as lists."""
    if many := len(_too_large(store, config)):
        log(f"judge: groups of more responses than {config.list_protocol} shows, judged pair by pair: {many}")


def _too_large(store: Store, config: JudgeConfig) -> frozenset[GroupKey]:
    from rewardkit.judge.protocols import list_protocol

    return (
        large_groups(store, list_protocol(config.list_protocol).most_responses) if config.list_protocol else frozenset()
    )


def _last(store: Store, config: JudgeConfig) -> str | None:
    """Return the id of the last comparison that a limit lets through; None where there is no limit."""
    if config.limit is None:
        return None
    found = deque(islice(store.ids("comparisons"), config.limit), maxlen=1)
    return found[0] if found else None


def _left(
    store: Store, judge: Judge[ListProtocol], group: Group, config: JudgeConfig, last: str | None
) -> dict[Order, frozenset[str]]:
    """Return which comparisons of a group have no label yet, by order; nothing of orders in which all have."""
    there = labelled_of(store, judge.annotator.id, group.comparisons)
    asked = [item for item in group.comparisons if last is None or item <= last]
    left = {order: frozenset(item for item in asked if (item, order, 0) not in there) for order in config.orders}
    return {order: items for order, items in left.items() if items}


def _with_texts(store: Store, group: Group, left: dict[Order, frozenset[str]]) -> GroupLeft:
    from rewardkit.judge.ranking_tasks import GroupLeft

    found = list(store.comparisons(group.comparisons))
    responses = {each.id: each for texts in found for each in (texts.response_a, texts.response_b)}
    comparisons: list[Comparison] = [texts.comparison for texts in found]
    return GroupLeft(
        group.key[0],
        found[0].prompt,
        tuple(responses[each] for each in sorted(responses)),
        {order: tuple(each for each in comparisons if each.id in items) for order, items in left.items()},
    )
