"""Responses of a policy: what is asked for each prompt, and what is kept of the answer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rewardkit.generation.policies import Policy, opening
from rewardkit.judge.contract import Completion, Steps
from rewardkit.judge.prompting import said
from rewardkit.judge.tasks import Task
from rewardkit.judge.writing import Written
from rewardkit.storable import storable
from rewardkit.types import Prompt, Response, content_id

Key = tuple[str, int]
"""Of a text that a policy wrote: the prompt's id and the seed."""
CUT_OFF, EMPTY = "cut off", "empty"
"""Why a reply is no response."""


@dataclass(frozen=True)
class Slot:
    """One response that a policy is to write.

    Attributes:
        prompt: What it answers.
        sample: Its number among those of the policy.
        seed: Of its draw.
    """

    prompt: Prompt
    sample: int
    seed: int


def slots(policy: Policy, prompts: Iterable[Prompt]) -> Iterator[Slot]:
    """Yield what a policy is to write."""
    for prompt in prompts:
        for sample in range(policy.config.samples):
            yield Slot(prompt, sample, policy.seed_of(prompt.id, str(sample)))


def sample_tasks(policy: Policy, prompts: Iterable[Prompt], already: Container[Key]) -> Iterator[Task[Written]]:
    """Ask for each response that is not there yet.

    Args:
        policy: Who writes.
        prompts: What is answered.
        already: Prompt and seed of the responses that are there.
    """
    for slot in slots(policy, prompts):
        if (slot.prompt.id, slot.seed) not in already:
            yield Task(slot.prompt.id, _write(policy, slot))


def _write(policy: Policy, slot: Slot) -> Steps[Written]:
    nothing = Written(content_id("written", slot.prompt.id, str(slot.seed)), slot.prompt.id, slot.seed)
    asked = opening(slot.prompt, policy.config.system)
    if isinstance(asked, str):
        return replace(nothing, status="failed", reason=asked)
    (answer,) = yield (policy.ask(asked, slot.seed),)
    return kept(nothing, answer, policy, metadata={"policy": policy.config.name, "sample": slot.sample})


def kept(nothing: Written, answer: Completion, policy: Policy, **fields: Any) -> Written:
    """Return what is kept of an answer: a response, or why there is none.

    Args:
        nothing: What was asked for, without a response.
        answer: The answer.
        policy: Who gave it.
        **fields: The response's own: metadata, edited_from.
    """
    if answer.failure:
        return replace(nothing, status="failed", reason=answer.failure)
    if answer.was_cut and policy.config.truncated == "drop":
        return replace(nothing, status="left_out", reason=CUT_OFF)
    text = storable(said(answer.reply).strip())
    if not text:
        return replace(nothing, status="left_out", reason=EMPTY)
    metadata = {**fields.pop("metadata"), **({"truncated": True} if answer.was_cut else {})}
    served = {"served": answer.served} if answer.served else {}
    generation = {**policy.settings(nothing.seed), **served}
    made = {"model": policy.backend.model, "generation": generation, "metadata": metadata, **fields}
    return replace(nothing, response=Response.of(nothing.prompt_id, text, **made))
