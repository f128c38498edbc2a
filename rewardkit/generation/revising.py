"""Revisions by a constitution: a policy criticises its own response by a principle, and then rewrites it.

Bai et al. 2022, Constitutional AI (arXiv:2212.08073), section 3.1: a critique request and a revision request follow the
response in the same conversation. There a revision counts as better than what it revises; here nobody says so: whether
it is has to be seen (small models often revise for the worse), so original and revision become a comparison like any
other, for people and judges to decide.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from rewardkit.generate_config import RevisionsConfig
from rewardkit.generation.constitution import Constitution, Principle
from rewardkit.generation.policies import Policy, opening
from rewardkit.generation.sampling import Key, kept
from rewardkit.judge.contract import Steps
from rewardkit.judge.prompting import aloud
from rewardkit.judge.tasks import Task
from rewardkit.judge.writing import Written
from rewardkit.storable import storable
from rewardkit.types import Prompt, Response, content_id

UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Draft:
    """A response, and the principle by which it is to be revised.

    Attributes:
        prompt: What it answers.
        response: The response.
        principle: The principle.
        seed: Of the draw.
    """

    prompt: Prompt
    response: Response
    principle: Principle
    seed: int


def drafts(
    policy: Policy, responses: Iterable[tuple[Prompt, Response]], config: RevisionsConfig, by: Constitution
) -> Iterator[Draft]:
    """Yield what a policy is to revise.

    Args:
        policy: Who wrote the responses.
        responses: With what they answer.
        config: How many principles are drawn for each.
        by: The principles.
    """
    for prompt, response in responses:
        for principle in by.drawn(response.id, config.per_response):
            seed = policy.seed_of(response.id, str(config.critique_tokens), principle.model_dump_json())
            yield Draft(prompt, response, principle, seed)


def revision_tasks(
    policy: Policy, found: Iterable[Draft], config: RevisionsConfig, already: Container[Key]
) -> Iterator[Task[Written]]:
    """Ask for each revision that is not there yet.

    Args:
        policy: Who wrote the responses, and revises them.
        found: Of `drafts`.
        config: How long a critique may be.
        already: Prompt and seed of the revisions that are there.
    """
    for draft in found:
        if (draft.prompt.id, draft.seed) not in already:
            yield Task(draft.response.id, _revise(policy, draft, config))


def _revise(policy: Policy, draft: Draft, config: RevisionsConfig) -> Steps[Written]:
    principle, name = draft.principle, content_id("revised", draft.response.id, str(draft.seed))
    nothing = Written(name, draft.prompt.id, draft.seed)
    asked = opening(draft.prompt, policy.config.system)
    if isinstance(asked, str):
        return replace(nothing, status="failed", reason=asked)
    critical = asked.then(draft.response.text, principle.critique.strip())
    (critique,) = yield (policy.ask(critical, draft.seed, tokens=config.critique_tokens),)
    words = storable(aloud(critique.reply))
    if critique.failure or not words:
        return replace(nothing, status="failed", reason=critique.failure or "an empty critique")
    (answer,) = yield (policy.ask(critical.then(words, principle.revision.strip()), draft.seed),)
    metadata = {"policy": policy.config.name, "principle": principle.name, "critique": words}
    written = kept(nothing, answer, policy, metadata=metadata, edited_from=draft.response.id)
    same = written.response is not None and written.response.text == draft.response.text
    return replace(nothing, status="left_out", reason=UNCHANGED) if same else written
