"""The stage `judge` with a panel: each of its judges labels everything in its own name; without one, the judge does.

Judges with different models or personas err less together than apart (Verga et al. 2024, Replacing Judges with Juries,
arXiv:2404.18796), if they do not err alike: whoever shares a family of models may. What their labels are worth together
is for the aggregation to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rewardkit import runs
from rewardkit.errors import JobFailed
from rewardkit.families import family_of
from rewardkit.jobs.costs import Work
from rewardkit.jobs.judging import inputs as inputs_of_one
from rewardkit.jobs.judging import judge as judge_alone
from rewardkit.jobs.judging_ahead import bill as bill_of_one
from rewardkit.jobs.judging_ahead import size as size_of_one
from rewardkit.jobs.judging_ahead import work_ahead as work_of_one
from rewardkit.jobs.stages import Job, Summary, given
from rewardkit.progress import log


def judge(job: Job, folder: runs.StageFolder) -> Summary:
    """Let each judge label and rate what it has not labelled and rated yet; a budget is for all of them together.

    Raises:
        JobFailed: Too much of what judges said failed, and all others are done, or their budget is used up.
    """
    from rewardkit.judge.budget import UsedUp

    members = _members(job)
    _warn(members, job.config.audit.families if job.config.audit else {})
    found, payers, failures = Counter[str](), _payers(members), dict[str, JobFailed]()
    for name, member in members.items():
        if len(members) > 1:
            log(f"judge: {name}")
        others = [payer for other, theirs in payers.items() if other != name for payer in theirs]
        try:
            found.update(judge_alone(member, folder, others))
        except UsedUp:
            raise
        except JobFailed as failure:
            if len(members) == 1:
                raise
            log(f"judge: {name}: {failure.what}")
            failures[name] = failure
    if failures:
        raise _all(failures, len(members))
    return dict(found)


def _all(failures: Mapping[str, JobFailed], judges: int) -> JobFailed:
    """Return one failure that tells of all."""
    first = next(iter(failures.values()))
    what = "; ".join(f"{name}: {failure.what}" for name, failure in failures.items())
    said = f"{len(failures)} of {judges} judges failed: {what}"
    return JobFailed(said, where=first.where, expected=first.expected, fix=first.fix)


def inputs(job: Job) -> dict[str, str]:
    """Return name and hash of all that the judges read."""
    each = {name: inputs_of_one(member) for name, member in _members(job).items()}
    return {f"{name}: {what}".lstrip(": "): has for name, read in each.items() for what, has in read.items()}


def size(job: Job) -> str:
    """Say how much there is to label, without labelling it."""
    sizes = {name: size_of_one(member) for name, member in _members(job).items()}
    return "; ".join(f"{name}: {said}".lstrip(": ") for name, said in sizes.items())


def bill(job: Job) -> str:
    """Say what the questions that are left would take of servers; nothing where none is asked.

    Raises:
        UserError: One of them cannot be asked.
    """
    bills = {name: said for name, member in _members(job).items() if (said := bill_of_one(member))}
    return "; ".join(f"{name}: {said}".lstrip(": ") for name, said in bills.items())


def work_ahead(job: Job) -> Work | None:
    """Return how much text local models would read and write; None where no such model is asked.

    Of several models the first is named: a rough figure of judges of about one size.
    """
    works = [work for member in _members(job).values() if (work := work_of_one(member))]
    read, written = sum(work.read for work in works), sum(work.written for work in works)
    return replace(works[0], read=read, written=written) if works else None


def _members(job: Job) -> dict[str, Job]:
    """Return a job for each judge, by its name; it may be empty where there is no panel."""
    members = given(job.config.judge).members()
    return {each.name: replace(job, config=job.config.model_copy(update={"judge": each})) for each in members}


def _payers(members: Mapping[str, Job]) -> dict[str, list[str]]:
    """Return the ids of each judge's annotators, where they share a budget."""
    from rewardkit.jobs.guidance import examples_of
    from rewardkit.judge.judges import open_judges

    found = dict[str, list[str]]()
    for name, member in members.items():
        config = given(member.config.judge)
        if len(members) > 1 and (config.max_cost or config.warn_cost):
            opened = open_judges(config, examples=examples_of(member))
            found[name] = opened.annotators
    return found


def _warn(members: Mapping[str, Job], families: Mapping[str, Sequence[str]]) -> None:
    """Say which judges of a panel are of one family of models."""
    alike: dict[str, list[str]] = {}
    for name, member in members.items():
        if family := family_of(given(member.config.judge).model, families):
            alike.setdefault(family, []).append(name)
    for family, names in alike.items():
        if len(names) > 1:
            who = f"{', '.join(names)} are of one family of models ({family})"
            log(f"judge: {who}: where they agree they may share an error; a judge of another family says more")
