"""What a judge has cost so far, whether or not labels came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rewardkit.store.store import Store

if TYPE_CHECKING:
    from rewardkit.judge.cache import AnswerCache
    from rewardkit.judge.judges import Judge


def spent(store: Store, judge: Judge[Any], payers: Iterable[str], lost: float = 0.0) -> float:
    """Return what labels and ratings cost, and what was paid for answers that became none.

    Those of one model at one place are told apart by nobody: what another judge paid there for nothing counts too.

    Args:
        store: Where labels and ratings are.
        judge: Whose answers are kept.
        payers: Ids of the annotators who share a budget, its own among them.
        lost: What is known from elsewhere to be paid without a label.
    """
    from rewardkit.judge.cache import payer

    ids, known = list(payers), store.annotators()
    paid = lost + sum(map(store.spent, ids))
    if (cache := _cache_of(judge)) is None:
        return paid
    who = [judge.annotator, *(known[each] for each in ids if each in known)]
    return paid + sum(map(cache.unlabelled, {payer(each.model or "", each.revision or "") for each in who}))


def told(judge: Judge[Any]) -> Callable[[list[str]], None]:
    """Return whom to tell the ids of committed labels and ratings: what they cost is on record with them."""
    cache = _cache_of(judge)
    return cache.committed if cache else lambda _: None


def _cache_of(judge: Judge[Any]) -> AnswerCache | None:
    from rewardkit.judge.cache import Caching

    return judge.backend.cache if isinstance(judge.backend, Caching) else None
