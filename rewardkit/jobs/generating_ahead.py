"""What the stage `generate` has left to write, and what that takes: looked at before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from rewardkit.generate_config import PolicyConfig
from rewardkit.jobs.costs import CHARACTERS_PER_TOKEN, Several, Work
from rewardkit.jobs.generated import Own
from rewardkit.jobs.judging_ahead import LOCAL, SERVERS, is_here
from rewardkit.jobs.stages import Job, given
from rewardkit.jobs.writing import LeftOut
from rewardkit.store.store import Store
from rewardkit.types import Prompt, Response

if TYPE_CHECKING:
    from rewardkit.generation.policies import Policy
    from rewardkit.generation.sampling import Key
    from rewardkit.judge.estimating import Estimate
    from rewardkit.judge.tasks import Task
    from rewardkit.judge.writing import Written


def size(job: Job) -> str:
    """Say how much is asked for.

    Raises:
        NoDatabaseError: Nothing is imported yet.
        DataError: No prompt is there.
    """
    config = given(job.config.generate)
    with Store.open(job.config.database, create=False) as store:
        prompts = len(Own.of(store, job.config).prompts) if config.policies else 0
    responses = prompts * sum(policy.samples for policy in config.policies)
    revisions = responses * config.revisions.per_response if config.revisions else 0
    who = "a policy" if len(config.policies) == 1 else f"{len(config.policies)} policies"
    parts = (
        f"{responses} responses to {prompts} prompts by {who}" if config.policies else "",
        f"{revisions} revisions" if revisions else "",
        f"{config.corruptions.count} texts spoilt at most" if config.corruptions else "",
    )
    return ", ".join(part for part in parts if part)


def bill(job: Job) -> str:
    """Say what is left to ask of models and servers.

    Raises:
        UserError: A policy cannot be asked: its key is missing, or what the config names.
    """
    return "; ".join(f"{policy.name}: {estimate}" for policy, estimate in _estimates(job))


def work_ahead(job: Job) -> Several:
    """Return how much text local models would read and write."""
    works = []
    for policy, left in _estimates(job):
        if policy.backend == LOCAL:
            read, written = (CHARACTERS_PER_TOKEN * each for each in (left.tokens - left.written, left.written))
            works.append(Work(policy.model, policy.dtype, read=read, written=written))
    return Several(tuple(works))


def _estimates(job: Job) -> list[tuple[PolicyConfig, Estimate]]:
    """Return how much each policy is still asked, without loading or fetching a model; nothing of one that is not here.

    Raises:
        UserError: A policy cannot be asked.
    """
    from rewardkit.generation.policies import open_policy
    from rewardkit.judge.cache import FILE, AnswerCache
    from rewardkit.judge.estimating import estimate

    config, known = given(job.config.generate), job.config.workspace / FILE
    asked = [each for each in config.policies if _can_be_asked(each)]
    # Looking writes nothing: there is no file where nothing was bought yet.
    cache = AnswerCache(known if known.exists() else None)
    with closing(cache), Store.open(job.config.database, create=False) as store:
        own, left_out, found = Own.of(store, job.config), LeftOut(job.folder("generate").path), []
        for each in asked:
            policy = open_policy(each, job.config.seed, cache)
            found.append((each, estimate(_tasks(policy, own, left_out.for_good(policy)), policy.backend)))
        return found


def _tasks(policy: Policy, own: Own, left_out: set[Key]) -> Iterator[Task[Written]]:
    from rewardkit.generation.constitution import load_constitution
    from rewardkit.generation.revising import drafts, revision_tasks
    from rewardkit.generation.sampling import sample_tasks

    there = own.keys() | left_out
    yield from sample_tasks(policy, own.prompts.values(), there)
    if (by := given(own.config.generate).revisions) is not None:
        revised = drafts(policy, _drafted(policy, own), by, load_constitution(by.constitution))
        yield from revision_tasks(policy, revised, by, there)


def _drafted(policy: Policy, own: Own) -> Iterator[tuple[Prompt, Response]]:
    """Yield what will be revised: responses that are there, and stand-ins of the greatest length for the others."""
    from rewardkit.generation.sampling import slots

    there = {(each.prompt_id, each.generation["seed"]): each for _, each in own.responses([policy])}
    longest = "word " * policy.config.max_new_tokens
    for slot in slots(policy, own.prompts.values()):
        key = (slot.prompt.id, slot.seed)
        yield slot.prompt, there.get(key) or Response.of(slot.prompt.id, longest, model=str(slot.seed))


def _can_be_asked(policy: PolicyConfig) -> bool:
    return policy.backend in SERVERS or (policy.backend == LOCAL and is_here(policy.model))
