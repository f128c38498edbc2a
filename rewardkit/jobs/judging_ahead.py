"""What the stage `judge` has left to do, and what that takes: looked at before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewardkit.errors import UserError
from rewardkit.jobs.costs import CHARACTERS_PER_TOKEN, JUDGING, Work
from rewardkit.jobs.guidance import examples_of
from rewardkit.jobs.judging_groups import groups_left, pair_ids
from rewardkit.jobs.stages import Job, given
from rewardkit.models import resolve
from rewardkit.store.rows import RatedTexts
from rewardkit.store.store import Store
from rewardkit.types import Order

if TYPE_CHECKING:
    from rewardkit.judge.contract import PairProtocol, RatingProtocol
    from rewardkit.judge.estimating import Estimate
    from rewardkit.judge.judges import Judge
    from rewardkit.judge.resuming import KeysInOrder, PairKey
    from rewardkit.judge_config import JudgeConfig

LOCAL = "transformers"
SERVERS = ("openai", "anthropic")
SAMPLED = 256
"""Comparisons by which tokens and costs are estimated."""


@dataclass(frozen=True)
class Ahead:
    """What there is to label.

    Attributes:
        estimate: How much it is.
        there: Labels that are there already.
    """

    estimate: Estimate
    there: int


def look_ahead(store: Store, judge: Judge[PairProtocol], config: JudgeConfig) -> Ahead:
    """Count what is left to label, and say from a few of it how much it is to read and to pay."""
    from rewardkit.judge.estimating import estimate_comparisons

    already = there(store, judge)
    done: set[PairKey] = set()
    items = records = 0
    first: list[str] = []
    for item, orders in _left(store, judge, config, already):
        items, records = items + 1, records + len(orders)
        # Ids are hashes of content: the first of them are as good a sample as any.
        if len(first) < SAMPLED:
            first.append(item)
            done |= {(item, order, 0) for order in config.orders if order not in orders}
    estimate = estimate_comparisons(store.comparisons(first), judge, config, already=done)
    return Ahead(estimate.scaled(items, records), already.count)


def left(store: Store, judge: Judge[PairProtocol], config: JudgeConfig) -> Iterator[str]:
    """Yield the ids of the comparisons that the judge has not labelled in every order, in their order."""
    for item, _ in _left(store, judge, config, there(store, judge)):
        yield item


def _left(
    store: Store, judge: Judge[PairProtocol], config: JudgeConfig, already: KeysInOrder
) -> Iterator[tuple[str, list[Order]]]:
    from rewardkit.judge.resuming import left_of

    for item in pair_ids(store, config):
        if orders := left_of(item, config.orders, already):
            yield item, orders


def there(store: Store, judge: Judge[PairProtocol]) -> KeysInOrder:
    """Return what is there already of a judge's labels, to be asked about in order of the comparisons."""
    from rewardkit.judge.resuming import KeysInOrder

    return KeysInOrder(store.labelled(judge.annotator.id))


def rated_there(store: Store, judge: Judge[RatingProtocol]) -> KeysInOrder:
    """Return what is there already of a judge's ratings, to be asked about in order of the responses."""
    from rewardkit.judge.resuming import KeysInOrder

    return KeysInOrder(store.rated(judge.annotator.id))


def texts_of(store: Store) -> Iterator[RatedTexts]:
    """Yield all responses with their prompts, in their order."""
    return (RatedTexts(response, prompt) for response, prompt in store.responses_with_prompts())


def size(job: Job) -> str:
    """Say how much there is to label, without labelling it."""
    config = given(job.config.judge)
    with Store.open(job.config.database, create=False) as store:
        counts = store.counts()
    comparisons, responses = counts.get("comparisons", 0), counts.get("responses", 0)
    asked = min(comparisons, config.limit or comparisons)
    rated = min(responses, config.limit or responses) if config.rating_protocol else 0
    ratings = f", and {rated} of {responses} responses rated" if rated else ""
    # Not every backend has a model: the default's name says nothing of one that has none.
    named = config.backend == LOCAL or "model" in config.model_fields_set
    who = config.model if named else f"the backend {config.backend}"
    lists = f" (groups by {config.list_protocol})" if config.list_protocol else ""
    return f"{asked} of {comparisons} comparisons in {len(config.orders)} orders{lists}{ratings}, with {who}"


def bill(job: Job) -> str:
    """Say what the questions that are left would take of a model here or of a server; nothing of other backends.

    Raises:
        UserError: The judge cannot be asked: its key is missing, or what the config names.
    """
    return "; ".join(f"{name}{estimate}" for name, estimate in _estimates(job).items())


def work_ahead(job: Job) -> Work | None:
    """Return how much text a local model would read and write; None where no such model is asked, or it is not here."""
    config = given(job.config.judge)
    estimates = _estimates(job).values() if config.backend == LOCAL else ()
    if not estimates:
        return None
    read = CHARACTERS_PER_TOKEN * sum(each.tokens - each.written for each in estimates)
    written = CHARACTERS_PER_TOKEN * sum(each.written for each in estimates)
    return Work(config.model, config.dtype, read=read, written=written, share=JUDGING)


def _estimates(job: Job) -> dict[str, Estimate]:
    """Return how much there is of each kind of question, without loading or fetching a model; nothing where it is none.

    Raises:
        UserError: The judge cannot be asked.
    """
    config = given(job.config.judge)
    if config.backend not in (LOCAL, *SERVERS) or (config.backend == LOCAL and not is_here(config.model)):
        return {}
    from rewardkit.judge.cache import FILE, AnswerCache
    from rewardkit.judge.estimating import estimate_groups, estimate_ratings
    from rewardkit.judge.judges import open_judges

    known = job.config.workspace / FILE
    # Looking writes nothing: there is no file where nothing was bought yet.
    with (
        closing(AnswerCache(known if known.exists() else None)) as cache,
        Store.open(job.config.database, create=False) as store,
    ):
        opened = open_judges(config, cache, examples=examples_of(job))
        found = {"": look_ahead(store, opened.pairs, config).estimate}
        if opened.lists is not None:
            found["groups: "] = estimate_groups(groups_left(store, opened.lists, config), opened.lists)
        if opened.ratings is not None:
            rated = rated_there(store, opened.ratings)
            found["ratings: "] = estimate_ratings(texts_of(store), opened.ratings, config, already=rated)
    return found


def is_here(model: str) -> bool:
    """Tell whether a model is ready on this machine."""
    try:
        resolve(model, fetch=False)
    except UserError:
        return False
    return True
