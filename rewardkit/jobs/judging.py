"""The work of the stage `judge`: comparisons and responses from the store to a judge, what it says into the store."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rewardkit import runs
from rewardkit.jobs import guidance, paying
from rewardkit.jobs.cluster.unrecorded import SHARDS, Unrecorded
from rewardkit.jobs.costs import JUDGING, Work
from rewardkit.jobs.guidance import examples_of
from rewardkit.jobs.judging_groups import groups_left, pair_ids, say_too_large
from rewardkit.jobs.keeping import Keeper, Kept
from rewardkit.jobs.stages import Job, Summary, given, model_revision
from rewardkit.progress import log, progress
from rewardkit.store.rows import RatedTexts
from rewardkit.store.store import Store
from rewardkit.types import Order

if TYPE_CHECKING:
    from rewardkit.judge.cache import AnswerCache
    from rewardkit.judge.contract import PairProtocol, RatingProtocol
    from rewardkit.judge.estimating import Estimate
    from rewardkit.judge.judges import Judge
    from rewardkit.judge.list_contract import ListProtocol
    from rewardkit.judge.resuming import KeysInOrder, PairKey
    from rewardkit.judge_config import JudgeConfig

LOCAL = "transformers"
IN_PROCESS = (LOCAL, "vllm")
SERVERS = ("openai", "anthropic")
Spent: TypeAlias = Callable[[Store, "Judge[Any]"], float]
"""What a judge has cost so far."""
"""Backends whose model is a folder here, and has a revision."""
SAMPLED = 256
"""Comparisons by which tokens and costs are estimated."""


def judge(job: Job, folder: runs.StageFolder, others: Sequence[str] = ()) -> Summary:
    """Label and rate what the config's judge has not labelled and rated yet.

    Args:
        job: The job.
        folder: Of the stage.
        others: Ids of annotators who share the budget.
    """
    from rewardkit.judge import judges

    config, kept = given(job.config.judge), Kept()
    if config.engine == "ray":
        from rewardkit.jobs.cluster.engine import judge_on_ray

        return dict(judge_on_ray(job, folder, others).counts)
    with _answers(job, kept) as cache:
        opened = judges.open_judges(config, cache, examples=examples_of(job))
        payers = [*others, *opened.annotators]
        # What judges on a cluster paid without a label is paid here, too.
        spent = partial(paying.spent, payers=payers, lost=Unrecorded(folder.path / SHARDS).of(payers))
        with Store.open(job.config.database, create=False) as store:
            _label(store, opened.pairs, config, kept, spent)
            if opened.lists is not None:
                _rank(store, opened.lists, config, kept, spent)
            if opened.ratings is not None:
                _rate(store, opened.ratings, config, kept, spent)
    return dict(kept.counts)


@contextmanager
def _answers(job: Job, kept: Kept) -> Iterator[AnswerCache]:
    """Open the answers that were bought before, and say in the end how many of them were used."""
    from rewardkit.judge.cache import FILE, AnswerCache

    cache = AnswerCache(job.config.workspace / FILE)
    try:
        yield cache
    finally:
        cache.close()
        if cache.hits:
            log(f"judge: {cache.hits} answers from the cache")
            kept.counts["answers from the cache"] = cache.hits


def _label(store: Store, judge: Judge[PairProtocol], config: JudgeConfig, kept: Kept, spent: Spent) -> None:
    from rewardkit.judge.running import judge_comparisons

    ahead = look_ahead(store, judge, config)
    log(f"judge: {ahead.estimate}, {ahead.there} labels are there already")
    stream = judge_comparisons(
        store.comparisons(left(store, judge, config)),
        judge,
        config,
        already=there(store, judge),
        total=store.counts().get("comparisons", 0),
        spent=spent(store, judge),
    )
    _keep(store, stream, ("judge", ahead.estimate.records), kept, judge)


def _rank(store: Store, judge: Judge[ListProtocol], config: JudgeConfig, kept: Kept, spent: Spent) -> None:
    from rewardkit.judge.estimating import estimate_groups
    from rewardkit.judge.running import judge_groups

    say_too_large(store, config)
    estimate = estimate_groups(groups_left(store, judge, config), judge)
    log(f"judge: groups: {estimate}")
    stream = judge_groups(
        groups_left(store, judge, config),
        judge,
        config,
        total=store.counts().get("comparisons", 0),
        spent=spent(store, judge),
    )
    _keep(store, stream, ("judge: groups", estimate.records), kept, judge)


def _rate(store: Store, judge: Judge[RatingProtocol], config: JudgeConfig, kept: Kept, spent: Spent) -> None:
    from rewardkit.judge.estimating import estimate_ratings
    from rewardkit.judge.running import judge_ratings

    rated = rated_there(store, judge)
    estimate = estimate_ratings(_texts(store), judge, config, already=rated)
    log(f"judge: ratings: {estimate}, {rated.count} are there already")
    again = rated_there(store, judge)
    stream = judge_ratings(_texts(store), judge, config, already=again, spent=spent(store, judge))
    _keep(store, stream, ("judge: ratings", estimate.records + estimate.checked), kept, judge)


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


def _texts(store: Store) -> Iterator[RatedTexts]:
    return (RatedTexts(response, prompt) for response, prompt in store.responses_with_prompts())


def _keep(
    store: Store, records: Generator[Any, None, None], expected: tuple[str, int], kept: Kept, judge: Judge[Any]
) -> None:
    """Commit records as they come; of each judge its name, too. However it ends, nothing is asked any more."""
    told = paying.told(judge)
    with progress(*expected) as advance, Keeper(store, kept, advance, told) as keeper, _settled(), closing(records):
        for record in records:
            keeper.keep(record)


@contextmanager
def _settled() -> Iterator[None]:
    """Keep what is there already from being looked through for garbage again and again.

    A model's libraries are half a million objects; it took a quarter of the time of a judge that is fast.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def inputs(job: Job) -> dict[str, str]:
    """Return name and hash of all that the judge reads."""
    config = given(job.config.judge)
    found = {**guidance.inputs(job), **_store_digest(job, "prompts", "responses", "comparisons"), **_recorded(config)}
    return {**found, **model_revision(config.model, "judge")} if config.backend in IN_PROCESS else found


def _recorded(config: JudgeConfig) -> dict[str, str]:
    """Return name and hash of the files whose verdicts are replayed."""
    replays = [each.replay.files for each in config.members() if each.backend == "replay" and each.replay]
    found = {file: Path(file) for files in replays for file in files}
    return {file: runs.file_hash(path) for file, path in found.items() if path.exists()}


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
    """Say what the questions that are left would take of a server; nothing where no server is asked.

    Raises:
        UserError: The server cannot be asked: its key is missing, or what the config names.
    """
    config = given(job.config.judge)
    if config.backend not in SERVERS:
        return ""
    from rewardkit.judge.cache import FILE, AnswerCache
    from rewardkit.judge.estimating import estimate_groups, estimate_ratings
    from rewardkit.judge.judges import open_judges

    known = job.config.workspace / FILE
    # Looking writes nothing: there is no file where nothing was bought yet.
    with closing(AnswerCache(known if known.exists() else None)) as cache:
        opened = open_judges(config, cache, examples=examples_of(job))
        with Store.open(job.config.database, create=False) as store:
            parts = [f"{look_ahead(store, opened.pairs, config).estimate}"]
            if opened.lists is not None:
                parts.append(f"groups: {estimate_groups(groups_left(store, opened.lists, config), opened.lists)}")
            if opened.ratings is not None:
                rated = rated_there(store, opened.ratings)
                parts.append(f"ratings: {estimate_ratings(_texts(store), opened.ratings, config, already=rated)}")
    return "; ".join(parts)


def work_ahead(job: Job) -> Work | None:
    """Return how much text a local model would read; None where no such model is asked."""
    from rewardkit.rubric import load_rubric

    config = given(job.config.judge)
    if config.backend != LOCAL:
        return None
    rubric = load_rubric(config.rubric)
    instruction = len(rubric.model_dump_json())
    with Store.open(job.config.database, create=False) as store:
        prompts = {prompt.id: sum(len(m.content) for m in prompt.messages) for prompt in store.prompts()}
        asked = [
            instruction + prompts[texts.prompt.id] + len(texts.response_a.text) + len(texts.response_b.text)
            for texts in islice(store.comparisons(), config.limit)
        ]
        rated = [instruction + prompts[r.prompt_id] + len(r.text) for r in islice(store.responses(), config.limit)]
    ratings = len(rubric.criteria) * sum(rated) if config.rating_protocol else 0
    return Work(config.model, config.dtype, read=len(config.orders) * sum(asked) + ratings, share=JUDGING)


def _store_digest(job: Job, *kinds: str) -> dict[str, str]:
    with Store.open(job.config.database, create=False) as store:
        return {"store: " + " ".join(kinds): store.digest(*kinds)}
