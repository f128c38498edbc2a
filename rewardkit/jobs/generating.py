"""The stage `generate`: prompts from the store to policies, what they write and comparisons of it into the store.

What was written is in the store as soon as it is committed; a run that was stopped goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit import runs
from rewardkit.config import JobConfig
from rewardkit.corruptions import corruption_named
from rewardkit.jobs import generating_ahead
from rewardkit.jobs.corrupting import spoil
from rewardkit.jobs.generated import Own
from rewardkit.jobs.judging import IN_PROCESS
from rewardkit.jobs.stages import Job, Stage, Summary, given, model_revision
from rewardkit.jobs.writing import LeftOut, Writer
from rewardkit.progress import log
from rewardkit.store.store import Store
from rewardkit.types import Prompt, Response

if TYPE_CHECKING:
    from rewardkit.generate_config import GenerateConfig
    from rewardkit.generation.policies import Policy
    from rewardkit.judge.budget import Budget
    from rewardkit.judge.cache import AnswerCache

CORRUPTED = "corrupted texts"


def _work(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.judge.cache import FILE, AnswerCache

    config = given(job.config.generate)
    with (
        closing(AnswerCache(job.config.workspace / FILE)) as cache,
        Store.open(job.config.database, create=False) as store,
    ):
        own = Own.of(store, job.config)
        policies = open_policies(job.config, cache)
        told = _written(own, policies, cache, folder.path) if policies else {}
        spoilt = _spoilt(own, policies, folder.path) if config.corruptions else {}
    return {"prompts": len(own.prompts), **told, **spoilt}


def open_policies(config: JobConfig, cache: AnswerCache) -> list[Policy]:
    """Open the policies of a job; no weights are loaded yet.

    Raises:
        UserError: One of them cannot be asked.
    """
    from rewardkit.generation.policies import open_policy

    return [open_policy(each, config.seed, cache) for each in given(config.generate).policies]


def budget_of(config: GenerateConfig, policies: Sequence[Policy], cache: AnswerCache) -> Budget:
    """Return the money of a job, of which earlier runs have spent some.

    No response tells what it cost: all that a model was paid stays noted beside its answers, and counts for whoever
    asks the same model at the same place, a judge too.
    """
    from rewardkit.judge.budget import Budget
    from rewardkit.judge.cache import Caching, payer

    kept = [each.backend for each in policies if isinstance(each.backend, Caching) and each.backend.cache is not None]
    spent = sum(map(cache.unlabelled, {payer(each.model, each.revision) for each in kept}))
    return Budget(config.max_cost, config.warn_cost, spent, section="generate")


def _written(own: Own, policies: Sequence[Policy], cache: AnswerCache, folder: Path) -> Summary:
    """Let the policies write one after the other, and form comparisons."""
    from rewardkit.generation.policies import open_policy

    config = given(own.config.generate)
    left_out, known = LeftOut(folder), set(own.store.ids("responses"))
    writer = Writer(own.store, budget_of(config, policies, cache), config.max_failure_rate, left_out, known)
    try:
        for each in policies:
            # Opened for itself: its weights go when it has written, and two models never fill the memory.
            _let_write(open_policy(each.config, each.seed, cache), own, writer)
    finally:
        left_out.save()
    formed = own.store.add(own.comparisons(policies))
    revised = own.store.add(own.revised(policies) if config.revisions else ())
    comparisons = {"comparisons": formed.added, "comparisons with a revision": revised.added}
    return {**writer.counts, **{what: added.get("comparisons", 0) for what, added in comparisons.items()}}


def _let_write(policy: Policy, own: Own, writer: Writer) -> None:
    from rewardkit.generation.revising import revision_tasks
    from rewardkit.generation.sampling import sample_tasks

    there = own.keys() | writer.left_out.for_good(policy)
    writer.write(policy, sample_tasks(policy, own.prompts.values(), there), "responses")
    if (by := given(own.config.generate).revisions) is not None:
        writer.write(policy, revision_tasks(policy, own.drafts(policy), by, there), "revisions")


def _spoilt(own: Own, policies: Sequence[Policy], folder: Path) -> Summary:
    config = own.config
    name, counts = spoil(_unspoilt(own, policies), given(given(config.generate).corruptions), folder, config.seed)
    log(f"generate: corrupted texts, beside what they were made of: {folder / name}")
    return {CORRUPTED: name, **{f"{CORRUPTED}: {what}": count for what, count in counts.items()}}


def _unspoilt(own: Own, policies: Sequence[Policy]) -> Iterator[tuple[Prompt, Response]]:
    """Yield what may be spoilt: the policies' responses, or where there is no policy all that nobody has edited."""
    found = (response for _, response in own.responses(policies)) if policies else own.store.responses()
    for response in found:
        if response.prompt_id in own.prompts and response.edited_from is None:
            yield own.prompts[response.prompt_id], response


def _inputs(job: Job) -> dict[str, str]:
    config = given(job.config.generate)
    for name in config.corruptions.kinds if config.corruptions else ():
        corruption_named(name)
    kinds = ("prompts",) if config.policies else ("prompts", "responses")
    with Store.open(job.config.database, create=False) as store:
        found = {"store: " + " ".join(kinds): store.digest(*kinds)}
    if config.revisions is not None:
        from rewardkit.generation.constitution import load_constitution

        found["constitution"] = load_constitution(config.revisions.constitution).content_hash
    here = [each for each in config.policies if each.backend in IN_PROCESS]
    return {**found, **{f"model: {each.name}": model_revision(each.model, "judge")["model"] for each in here}}


def _outputs(job: Job) -> list[Path]:
    manifest = job.folder("generate").manifest()
    spoilt = manifest.summary.get(CORRUPTED) if manifest else None
    return [job.folder("generate").path / spoilt] if spoilt else []


GENERATE = Stage(
    "generate",
    "generate",
    (
        *("generation", "judge", "corruptions", "store", "types", "storable"),
        *("rubric", "checks", "chat", "models", "hardware"),
        *("batching", "packing", "passages", "attending", "products"),
        *("jobs/generating", "jobs/writing", "jobs/generated", "jobs/corrupting", "jobs/stressing", "jobs/keeping"),
    ),
    _inputs,
    _work,
    generating_ahead.size,
    generating_ahead.work_ahead,
    bill=generating_ahead.bill,
    outputs=_outputs,
    fills_store=True,
)
