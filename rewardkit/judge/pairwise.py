"""Pairwise protocols: which of two responses is better.

The rubric and the instruction come first and the candidates last, so that requests share the longest
prefix: all of a job up to the request, both orders of a comparison up to the first candidate.
"""

from __future__ import annotations

import re

from rewardkit.judge.contract import Capability, Completion, Failure, PairTexts, PairVerdict, Request
from rewardkit.judge.distributions import distribution
from rewardkit.judge.prompting import pair_slots, read_prompt, said
from rewardkit.judge.questions import OnePairQuestion
from rewardkit.rubric import Rubric
from rewardkit.types import Order

LEAST_MASS = 0.01
REPLY_TOKENS = 400
VERDICT = re.compile(
    r"^[ \t*_\"]*verdict[ \t*_]*:[ \t*_\"]*(?:response +)?(A|B|tie)[ \t*_\".]*$", re.IGNORECASE | re.MULTILINE
)


class PairwiseV1(OnePairQuestion):
    """`pairwise.v1`: the answer is one of the labels A and B, read from their probabilities."""

    name = "pairwise.v1"
    labels: tuple[str, ...] = ("A", "B")
    needs: frozenset[Capability] = frozenset({"labels"})

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better; A names the one shown first."""
        system, user = self._prompt.asked(pair_slots(texts, rubric, order))
        return Request(system, user, self._prompt.sections["prefill"], self.labels)

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the probability that the response shown first is better."""
        found = distribution(completion, self.labels, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        return PairVerdict(found.probabilities["A"], found.mass_outside)


class PairwiseRequestV1(PairwiseV1):
    """`pairwise-request.v1`: which response follows the request better, in few words, and nothing of the rubric.

    For models too small to use a rubric. With SmolLM2-135M on pandalm's pairs on which three people agree, the mean
    logit of both orders was right in 60.2 % of the 241 pairs on which the wording was chosen, and in 59.8 % of 241
    others (standard error 3.2 points; one order alone: 52.1 %).
    """

    name = "pairwise-request.v1"


class PairwiseTextV1(OnePairQuestion):
    """`pairwise-text.v1`: a short reason and a verdict in words, for servers that tell no probabilities.

    The last line that is a verdict counts, so that nothing that stands in a response or a thought is taken for one.
    """

    name = "pairwise-text.v1"
    needs: frozenset[Capability] = frozenset({"replies"})

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better; A names the one shown first."""
        system, user = self._prompt.asked(pair_slots(texts, rubric, order))
        return Request(system, user, "", (), reply_tokens=REPLY_TOKENS)

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the verdict; a tie is one half, and the reason is kept."""
        if completion.failure:
            return Failure(completion.failure)
        reply = said(completion.reply).strip()
        found = VERDICT.findall(reply)
        if not found:
            return Failure("no verdict in the reply" if reply else "an empty reply")
        return PairVerdict({"A": 1.0, "B": 0.0, "TIE": 0.5}[found[-1].upper()], 0.0, reply)
