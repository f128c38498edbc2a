"""The work of the stage `judge`: comparisons and responses from the store to a judge, what it says into the store."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rewardkit import runs
from rewardkit.jobs import guidance, paying
from rewardkit.jobs.cluster.unrecorded import SHARDS, Unrecorded
from rewardkit.jobs.guidance import examples_of
from rewardkit.jobs.judging_ahead import LOCAL, left, look_ahead, rated_there, texts_of, there
from rewardkit.jobs.judging_groups import groups_left, say_too_large
from rewardkit.jobs.keeping import Keeper, Kept
from rewardkit.jobs.stages import Job, Summary, given, model_revision
from rewardkit.progress import log, progress
from rewardkit.store.store import Store

if TYPE_CHECKING:
    from rewardkit.judge.cache import AnswerCache
    from rewardkit.judge.contract import PairProtocol, RatingProtocol
    from rewardkit.judge.judges import Judge
    from rewardkit.judge.list_contract import ListProtocol
    from rewardkit.judge_config import JudgeConfig

IN_PROCESS = (LOCAL, "vllm")
"""Backends whose model is a folder here, and has a revision."""
Spent: TypeAlias = Callable[[Store, "Judge[Any]"], float]
"""What a judge has cost so far."""


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
    estimate = estimate_ratings(texts_of(store), judge, config, already=rated)
    log(f"judge: ratings: {estimate}, {rated.count} are there already")
    again = rated_there(store, judge)
    stream = judge_ratings(texts_of(store), judge, config, already=again, spent=spent(store, judge))
    _keep(store, stream, ("judge: ratings", estimate.records + estimate.checked), kept, judge)


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


def _store_digest(job: Job, *kinds: str) -> dict[str, str]:
    with Store.open(job.config.database, create=False) as store:
        return {"store: " + " ".join(kinds): store.digest(*kinds)}
