"""Pairwise protocols: which of two responses is better.

The rubric and the instruction come first and the candidates last, so that requests share the longest
prefix: all of a job up to the request, both orders of a comparison up to the first candidate.
"""

from __future__ import annotations

from rewardkit.judge.contract import Completion, Failure, PairTexts, PairVerdict, Request, distribution
from rewardkit.judge.prompting import pair_slots, read_prompt
from rewardkit.rubric import Rubric
from rewardkit.types import Order

LEAST_MASS = 0.01


class PairwiseV1:
    """`pairwise.v1`: the answer is one of the labels A and B, read from their probabilities."""

    name = "pairwise.v1"
    labels = ("A", "B")

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better; A names the one shown first."""
        slots = pair_slots(texts, rubric, order)
        system, user = (self._prompt.fill(section, slots) for section in ("system", "user"))
        return Request(system, user, self._prompt.sections["prefill"], self.labels)

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the probability that the response shown first is better."""
        found = distribution(completion, self.labels, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        return PairVerdict(found.probabilities["A"], found.mass_outside)
