"""Prompts after seeds: a policy is shown a few prompts of a task, and asked for others of their kind.

Wang et al. 2023, Self-Instruct (arXiv:2212.10560), section 2: what is shown is drawn anew for each question, and what
is too much like a prompt that is there (ROUGE-L) is left out. There the result goes straight into a data set; here a
person approves it first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from rewardkit.generate_config import ProposalsConfig
from rewardkit.generation.policies import Policy
from rewardkit.generation.proposals import Proposal, proposal_id
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.prompting import neutralise, read_prompt, said
from rewardkit.storable import storable
from rewardkit.types import Prompt, content_id

AT_A_TIME = 4
"""Prompts that one reply is asked for."""
REPLY_TOKENS = 400
LEAST_WORDS, LONGEST = 3, 1000
"""Of a prompt: words, and characters."""
_ITEM = re.compile(r"^\s*(?:\d{1,3}[.):]|[-*•])\s+(.+)$")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Asked:
    """One question for prompts.

    Attributes:
        request: As the policy is asked.
        seeds: The prompts that it shows.
    """

    request: Request
    seeds: tuple[Prompt, ...]


def questions(policy: Policy, seeds: Sequence[Prompt], config: ProposalsConfig, *, round: int) -> list[Asked]:
    """Return what is asked: seeds drawn anew for each question, always the same ones in the same round.

    Args:
        policy: Who is asked.
        seeds: Prompts of the task.
        config: How many are shown, and how many wanted.
        round: How many prompts were proposed before, so that asking again asks for others.
    """
    wording, found = read_prompt("prompts.v1"), []
    for number in range(-(-config.count // AT_A_TIME)):
        name = content_id("propose", config.task, str(round), str(number))
        shown = Random(f"{policy.seed} {name}").sample(list(seeds), min(config.shown, len(seeds)))
        listed = "\n".join(f"{at}. {_line(prompt)}" for at, prompt in enumerate(shown, start=1))
        slots = {"task": config.task, "seeds": listed, "count": str(AT_A_TIME), "next": str(len(shown) + 1)}
        system, user = wording.asked(slots)
        request = policy.ask(Request(system, user, "", ()), policy.seed_of(name), tokens=REPLY_TOKENS)
        found.append(Asked(request, tuple(shown)))
    return found


def read_prompts(answer: Completion) -> list[str]:
    """Read the prompts of a reply: the items of its list, but for those too short or too long; a cut one is none."""
    if answer.failure:
        return []
    lines = storable(said(answer.reply)).splitlines()
    items = [found[1] for line in lines[: -1 if answer.was_cut else None] if (found := _ITEM.match(line))]
    texts = [" ".join(item.split()).strip('*_"“” ') for item in items]
    return [text for text in dict.fromkeys(texts) if len(text.split()) >= LEAST_WORDS and len(text) <= LONGEST]


def new_among(texts: Iterable[str], there: Iterable[str], overlap: float) -> Iterator[str]:
    """Yield the texts that are not too much like one that is there, or that came before.

    Args:
        texts: Those that are proposed.
        there: Those that are there.
        overlap: ROUGE-L from which on two are too much alike.
    """
    known = [_words(text) for text in there]
    for text in texts:
        words = _words(text)
        if all(rouge_l(words, other) < overlap for other in known):
            known.append(words)
            yield text


def rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the F-measure of the longest common subsequence of two texts' words.

    References:
        Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 3.1, with β = 1: 2·LCS / (m + n).
    """
    row = [0] * (len(second) + 1)
    for word in first:
        before = row[:]
        for at, other in enumerate(second, start=1):
            row[at] = before[at - 1] + 1 if word == other else max(before[at], row[at - 1])
    return 2 * row[-1] / (len(first) + len(second)) if first or second else 1.0


def proposals_of(asked: Asked, texts: Iterable[str], *, task: str, model: str, now: datetime) -> list[Proposal]:
    """Return texts of one reply as proposals."""
    seeds = tuple(prompt.id for prompt in asked.seeds)
    about = {"task": task, "proposed_by": model, "proposed_at": now, "seeds": seeds}
    return [Proposal.model_validate({"id": proposal_id(text), "text": text, **about}) for text in texts]


def _line(prompt: Prompt) -> str:
    return " ".join(neutralise(prompt.messages[0].content).split())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
