"""The stage `judge` on a Ray cluster: shards of Parquet out to judges, their labels back as shards and into the store.

    shards/ANNOTATOR/asked-RUN/000000.parquet      what is asked about, until it is answered
    shards/ANNOTATOR/said/RUN-000000.parquet       what a judge said, until it is in the store
    shards/ANNOTATOR/added/RUN-000000.parquet      the same, afterwards

What is in the store is not asked again: a job that was interrupted begins by adding what judges had said, and cuts
shards of the rest.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rewardkit import runs
from rewardkit.errors import ConfigError
from rewardkit.extras import require
from rewardkit.jobs import guidance, paying
from rewardkit.jobs.cluster.folder import ShardFolder
from rewardkit.jobs.cluster.ledger import Bounds, Call, Ledger, State
from rewardkit.jobs.cluster.pool import Pool
from rewardkit.jobs.cluster.unrecorded import SHARDS
from rewardkit.jobs.cluster.worker import Orders, ShardWork, caller
from rewardkit.jobs.judging_ahead import left, look_ahead, rated_there, there
from rewardkit.jobs.keeping import Kept
from rewardkit.jobs.stages import Job, given
from rewardkit.judge.budget import Budget
from rewardkit.judge.cache import FILE, AnswerCache
from rewardkit.judge.estimating import estimate_ratings
from rewardkit.judge.failures import FailureGuard
from rewardkit.judge.judges import Judges, open_judges
from rewardkit.judge.resuming import KeysInOrder, PairKey, RatingKey
from rewardkit.judge.shards import cut_pairs, cut_ratings
from rewardkit.judge_config import JudgeConfig
from rewardkit.progress import Advance, log, progress
from rewardkit.store.rows import ComparisonTexts, RatedTexts
from rewardkit.store.store import Store

CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class _Run:
    """All that a run on a cluster goes by."""

    store: Store
    config: JudgeConfig
    judges: Judges
    place: Path
    kept: Kept
    pool: Pool
    call: Call


def judge_on_ray(job: Job, folder: runs.StageFolder, others: Sequence[str] = ()) -> Kept:
    """Label and rate, on a cluster, what the config's judge has not labelled and rated yet.

    Args:
        job: The job.
        folder: Of the stage.
        others: Ids of annotators who share the budget.

    Raises:
        ConfigError: There is no such cluster.
        JobFailed: Too many failed, the budget is used up, or judges end; what was said is in the store.
        MissingExtraError: Ray is not installed.
    """
    config, kept = given(job.config.judge), Kept()
    examples = guidance.examples_of(job)
    answers = job.config.workspace.resolve() / FILE
    bought = AnswerCache(answers)
    judges = open_judges(config, bought, examples=examples)
    annotators = [each.annotator.id for each in (judges.pairs, judges.ratings) if each]
    payers = (*others, *annotators)
    place = folder.path.resolve() / SHARDS
    with closing(bought), _cluster(config), Store.open(job.config.database, create=False) as store:
        ShardFolder(place, "labels", judges.pairs.annotator).add_what_was_said(store, kept)
        if judges.ratings is not None:
            ShardFolder(place, "ratings", judges.ratings.annotator).add_what_was_said(store, kept)
        bounds = Bounds(
            most=config.max_cost,
            spent=paying.spent(store, judges.pairs, payers),
            payers=payers,
            max_failure_rate=config.max_failure_rate,
            folder=place,
            answers=answers,
        )
        ledger = _ledger(bounds)
        call = caller(ledger)
        orders = Orders(_each(config).model_dump_json(), examples, annotators, ledger, Path.cwd())
        pool = Pool(orders, config, call)
        run = _Run(store, config, judges, place, kept, pool, call)
        try:
            _label(run)
            _rate(run)
        finally:
            pool.close()
            call("close")
    return kept


def _label(run: _Run) -> None:
    judge = run.judges.pairs
    ahead = look_ahead(run.store, judge, run.config)
    log(f"judge: {ahead.estimate}, {ahead.there} labels are there already")
    folder = ShardFolder(run.place, "labels", judge.annotator)
    shards = cut_pairs(_asked(run), folder.asked, run.config.ray_shard)
    total = run.store.counts().get("comparisons", 0)
    works = (ShardWork("labels", shard, folder.said(shard), total) for shard in shards)
    _run(run, folder, works, ahead.estimate.records)


def _asked(run: _Run) -> Iterator[tuple[ComparisonTexts, list[PairKey]]]:
    already = there(run.store, run.judges.pairs)
    for texts in run.store.comparisons(left(run.store, run.judges.pairs, run.config)):
        keys: list[PairKey] = [(texts.comparison.id, order, 0) for order in run.config.orders]
        yield texts, [key for key in keys if key in already]


def _rate(run: _Run) -> None:
    judge = run.judges.ratings
    if judge is None:
        return
    rated = rated_there(run.store, judge)
    texts = (RatedTexts(*each) for each in run.store.responses_with_prompts())
    estimate = estimate_ratings(texts, judge, run.config, already=rated)
    log(f"judge: ratings: {estimate}, {rated.count} are there already")
    folder = ShardFolder(run.place, "ratings", judge.annotator)
    names = [criterion.name for criterion in judge.rubric.criteria]
    shards = cut_ratings(_unrated(run, names, rated_there(run.store, judge)), folder.asked, run.config.ray_shard)
    works = (ShardWork("ratings", shard, folder.said(shard), 0) for shard in shards)
    _run(run, folder, works, estimate.records + estimate.checked)


def _unrated(run: _Run, names: list[str], rated: KeysInOrder) -> Iterator[tuple[RatedTexts, list[RatingKey]]]:
    for response, prompt in islice(run.store.responses_with_prompts(), run.config.limit):
        keys = [(response.id, name, 0) for name in names]
        done = [key for key in keys if key in rated]
        if len(done) < len(keys):
            yield RatedTexts(response, prompt), done


def _run(run: _Run, folder: ShardFolder, works: Iterator[ShardWork], total: int) -> None:
    """Have shards judged and add what is said, until all is said or the job has to end.

    Raises:
        JobFailed: Too many failed, or the budget is used up.
    """
    budget = Budget(run.config.max_cost, run.config.warn_cost)
    run.call("begin")
    with progress(f"judge: {folder.kind}", total) as advance:
        teller = _Teller(advance, budget)
        try:
            for work in run.pool.run(works, teller):
                folder.add(run.store, work, run.kept)
        except BaseException:
            # What was asked about is answered and kept, whatever ends the job.
            run.call("stop")
            log("judge: the cluster finishes what is under way")
            for work in run.pool.run(iter(()), teller):
                folder.add(run.store, work, run.kept)
            raise
        finally:
            folder.close()
    _check(run, budget)


class _Teller:
    """Shows how a run stands."""

    def __init__(self, advance: Advance, budget: Budget) -> None:
        self._advance, self._budget, self._done = advance, budget, 0

    def __call__(self, state: State) -> None:
        self._budget.settle(0.0, state.spent - self._budget.spent)
        failed = f"{state.reasons.total()} failed" if state.reasons else ""
        paid = f"{state.spent:.4g} paid" if state.spent else ""
        self._advance(state.done - self._done, ", ".join(part for part in (failed, paid) if part))
        self._done = state.done


def _check(run: _Run, budget: Budget) -> None:
    """End a job in which too many failed, or whose money did not last.

    Raises:
        JobFailed: It did.
    """
    state: State = run.call("state")
    if state.failure is not None:
        raise state.failure
    guard = FailureGuard(run.config.max_failure_rate)
    guard.done, guard.reasons = state.done, state.reasons
    guard.check(final=True)
    if state.hits:
        run.kept.counts["answers from the cache"] = state.hits
    budget.used_up = state.used_up
    budget.check()


def _each(config: JudgeConfig) -> JudgeConfig:
    """Return the config of one judge: what a server allows a minute is shared by all of them."""
    workers = config.ray_workers
    limits = {"requests_a_minute": config.server.requests_a_minute, "tokens_a_minute": config.server.tokens_a_minute}
    if not any(limits.values()):
        return config
    if workers is None:
        raise ConfigError(
            "what a server allows a minute can only be shared by a known number of judges",
            where="judge.ray_workers",
            fix="set it",
        )
    shares = {name: limit and limit / workers for name, limit in limits.items()}
    return config.model_copy(update={"server": config.server.model_copy(update=shares)})


def _ledger(bounds: Bounds) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Here, where the file of bought answers is: no other machine may write it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote(bounds)


@contextmanager
def _cluster(config: JudgeConfig) -> Iterator[None]:
    """Join the cluster that a config names, or start one on this machine; one that is joined already is used.

    Raises:
        ConfigError: It cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    ray: Any = require("ray", "ray")
    if ray.is_initialized():
        yield
        return
    address = config.ray_address or "local"
    if config.ray_address not in (None, "auto"):
        _check_address(address)
    # One of our own is nobody else's: it listens on loopback.
    options = {} if config.ray_address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreachable(str(error).splitlines()[0]) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address at which nobody listens: Ray would try for minutes, and end the process.

    Raises:
        ConfigError: It is one.
    """
    if address.startswith("ray://"):
        raise ConfigError(
            "a job cannot run through Ray's client", where="judge.ray_address", expected="HOST:PORT, on a node of it"
        )
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise _unreachable(str(error)) from error


def _unreachable(why: str) -> ConfigError:
    return ConfigError(
        f"the cluster cannot be reached ({why})",
        where="judge.ray_address",
        expected="HOST:PORT of a running cluster, and this machine one of its nodes",
        fix="ray start --address=… here, or leave it out to start one on this machine",
    )
