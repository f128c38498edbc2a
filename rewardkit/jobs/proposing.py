"""`rewardkit generate --propose`, `--approve`, `--reject`: prompts that a model proposes, and a person decides on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit import runs
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.jobs.generating import budget_of
from rewardkit.jobs.guidance import Chosen
from rewardkit.jobs.stages import Summary
from rewardkit.progress import log
from rewardkit.store.store import Store
from rewardkit.types import Prompt

if TYPE_CHECKING:
    from rewardkit.generate_config import GenerateConfig, PolicyConfig, ProposalsConfig
    from rewardkit.generation.policies import Policy
    from rewardkit.generation.proposals import Proposal, Proposals
    from rewardkit.generation.proposing import Asked
    from rewardkit.judge.cache import AnswerCache

WRITTEN_BY = "written_by"
"""Of a prompt's metadata: the model that proposed it."""


def propose(config: JobConfig, *, dry_run: bool = False) -> Summary:
    """Ask a policy for prompts, and write them beside those that are there.

    Args:
        config: The job's config, whose section `generate.prompts` names file, task and policy.
        dry_run: Only say how much would be asked.

    Raises:
        ConfigError: There is no such section, or the file is none.
        DataError: There is no prompt of the task to go by.
        OutputError: The file cannot be written.
    """
    from rewardkit.generation.policies import open_policy
    from rewardkit.judge.cache import FILE, AnswerCache

    section, answers = _section(config), config.workspace / FILE
    plan = _Plan.of(config, section)
    # To look for an answer makes the file.
    with closing(AnswerCache(answers if answers.exists() or not dry_run else None)) as cache:
        policy = open_policy(_writer(config), config.seed, cache)
        asked = plan.asked(policy)
        size = {"file": section.file, "seeds": len(plan.seeds), "requests": len(asked), "model": policy.backend.model}
        return size if dry_run else {**size, **_proposed(plan, policy, asked, cache)}


@dataclass(frozen=True)
class _Plan:
    """What prompts there are, and how others are asked for."""

    config: JobConfig
    section: ProposalsConfig
    there: Proposals
    prompts: Sequence[Prompt]

    @classmethod
    def of(cls, config: JobConfig, section: ProposalsConfig) -> _Plan:
        with Store.open(config.database, create=False) as store:
            prompts = [each for each in store.prompts() if each.task == section.task]
        plan = cls(config, section, _there(section), prompts)
        if not plan.seeds:
            raise DataError(
                f"no prompt of one message has the task {section.task!r}",
                where="generate.prompts.task",
                fix="import some prompts of this task first: others are written after them",
            )
        return plan

    @property
    def seeds(self) -> list[Prompt]:
        """What others are written after: prompts of one message that no model has written."""
        return [each for each in self.prompts if len(each.messages) == 1 and WRITTEN_BY not in each.metadata]

    def asked(self, policy: Policy) -> list[Asked]:
        """Return the questions, other ones each time that prompts were proposed."""
        from rewardkit.generation.proposing import questions

        return questions(policy, self.seeds, self.section, round=len(self.there.prompts))

    def new(self, texts: Sequence[str], more: Sequence[Proposal]) -> list[str]:
        """Return the texts that are like none of those that are there, whatever was decided about them."""
        from rewardkit.generation.proposing import new_among

        known = [message.content for prompt in self.prompts for message in prompt.messages]
        known += [each.text for each in (*self.there.prompts, *more)]
        return list(new_among(texts, known, self.section.most_alike))


def _proposed(plan: _Plan, policy: Policy, asked: Sequence[Asked], cache: AnswerCache) -> Summary:
    """Ask, and write what is new beside what is there."""
    from rewardkit.generation.proposing import proposals_of, read_prompts

    generate, now = _generate(plan.config), datetime.now(UTC)
    _pay(generate, policy, asked, cache)
    log(f"generate: {len(asked)} questions for prompts to {policy.backend.model}")
    answers = policy.backend.complete([each.request for each in asked])
    found: list[Proposal] = []
    alike = 0
    for question, answer in zip(asked, answers, strict=True):
        texts = read_prompts(answer)
        new = plan.new(texts, found)
        alike += len(texts) - len(new)
        found += proposals_of(question, new, task=plan.section.task, model=policy.backend.model, now=now)
    found = found[: plan.section.count]
    # As it is now: while the model wrote, people may have decided on what was there.
    joined = _there(plan.section).joined(found)
    _write(plan.section, joined)
    failures = [answer.failure for answer in answers if answer.failure]
    failed = {f"failed: {reason}": failures.count(reason) for reason in dict.fromkeys(failures)}
    left_out = {"left out, as they are like a prompt that is there": alike or None}
    return {**failed, **left_out, "proposed": _listed(found), **_standing(joined)}


def _pay(generate: GenerateConfig, policy: Policy, asked: Sequence[Asked], cache: AnswerCache) -> None:
    from rewardkit.judge.contract import Priced
    from rewardkit.judge.estimating import price_of

    budget = budget_of(generate, [policy], cache)
    cost = sum(price_of(policy.backend, each.request) for each in asked)
    if not budget.reserve(cost):
        what = f"it may cost {cost:.2f}, {budget.spent:.2f} are spent, and generate.max_cost is {generate.max_cost:g}"
        raise ConfigError(
            what, where="generate.prompts", fix="raise generate.max_cost, or lower generate.prompts.count"
        )
    if isinstance(policy.backend, Priced):
        policy.backend.allow = budget.reserve


def decide(config: JobConfig, made: Chosen) -> Summary:
    """Write down what a person decided, and add what is approved to the database.

    Args:
        config: The job's config, whose section `generate.prompts` names the file.
        made: The decision.

    Raises:
        ConfigError: There is no such file or prompt.
        StoreError: The database is missing or foreign; the file stays as it is.
        OutputError: The file cannot be written.
    """
    from rewardkit.generation.proposals import load_proposals
    from rewardkit.judge.notes import Decision

    section = _section(config)
    before = load_proposals(Path(section.file))
    chosen = before.meant(made.note)
    _can_be_taken_back(made, chosen)
    after = before.decided(made.note, Decision(status=made.status, by=made.by, at=datetime.now(UTC)))
    with Store.open(config.database, create=False) as store:
        _write(section, after)
        # Those that were approved by hand in the file, too.
        added = store.add(each.prompt() for each in after.of("approved")).added.get("prompts", 0)
    return {"file": section.file, made.status: _listed(chosen), "prompts added": added, **_standing(after)}


def _can_be_taken_back(made: Chosen, chosen: Sequence[Proposal]) -> None:
    for each in chosen:
        if made.status == "rejected" and each.status == "approved":
            raise ConfigError(
                f"{each.id} was approved by {each.by}, and is in the database, from which nothing is taken back",
                where="--reject",
                fix="begin a database without it",
            )


def _generate(config: JobConfig) -> GenerateConfig:
    if config.generate is None:
        raise ConfigError("the config has no section 'generate'", fix="add generate: to it")
    return config.generate


def _section(config: JobConfig) -> ProposalsConfig:
    if (section := _generate(config).prompts) is None:
        fix = "add prompts: {file: configs/prompts/NAME.yaml, task: TASK} to generate"
        raise ConfigError("the config does not say where prompts are proposed", where="generate.prompts", fix=fix)
    return section


def _writer(config: JobConfig) -> PolicyConfig:
    """Return the policy that is asked for prompts."""
    policies, named = _generate(config).policies, _section(config).policy
    return next(each for each in policies if named in (None, each.name))


def _there(section: ProposalsConfig) -> Proposals:
    from rewardkit.generation.proposals import Proposals, load_proposals

    path = Path(section.file)
    return load_proposals(path) if path.exists() else Proposals()


def _write(section: ProposalsConfig, proposals: Proposals) -> None:
    path = Path(section.file)
    runs.make_folder(path.parent)
    runs.write_text(path, proposals.as_yaml())


def _listed(proposals: Sequence[Proposal]) -> dict[str, str]:
    return {each.id: each.text for each in proposals}


def _standing(proposals: Proposals) -> dict[str, int]:
    return {f"prompts {status}": len(proposals.of(status)) for status in ("proposed", "approved", "rejected")}
