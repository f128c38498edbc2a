"""`debate.v1`: two critics argue, one for each response, and a judge who reads both says which response is better.

Khan et al. 2024 (arXiv:2402.06782) found that judges err less after a debate than after hearing one side. Both critics
see the responses in the order in which the judge does, and speak at the same time: neither has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from rewardkit.judge.contract import Capability, Completion, Failure, PairTexts, PairVerdict, Request, Steps
from rewardkit.judge.pairwise import REPLY_TOKENS, PairwiseTextV1, PairwiseV1
from rewardkit.judge.prompting import aloud, neutralise, pair_slots, read_prompt
from rewardkit.rubric import Rubric
from rewardkit.section import Count, Section
from rewardkit.types import Order

SIDES = ("A", "B")


class Debating(Section):
    """Options of debates."""

    argument_tokens: Count = Field(200, description="longest argument; a longer one is cut, and used as it is")
    rebuttal: bool = Field(False, description="whether the critics answer each other before the judge decides")


class DebateV1:
    """`debate.v1`: the judge's answer is A or B, read from their probabilities.

    Args:
        options: How much the critics say.
    """

    name = "debate.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Debating

    def __init__(self, options: Debating | None = None) -> None:
        self.options = options or Debating()
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Let both critics argue, and put what they said before the judge."""
        system, shown = self._prompt.asked(pair_slots(texts, rubric, order))
        tokens = self.options.argument_tokens
        begun = tuple(
            Request(system, f"{shown}\n\n{self._prompt.fill('argue', _named(side))}", "", (), tokens, cut=True)
            for side in SIDES
        )
        cases = _said((yield begun))
        if not isinstance(cases, Failure) and self.options.rebuttal:
            cases = yield from self._rebutted(begun, cases)
        if isinstance(cases, Failure):
            return cases
        (answer,) = yield (self._decision(system, shown, cases),)
        verdict = self._read(answer)
        if isinstance(verdict, Failure):
            return verdict
        heard = [f"For {side}: {case}" for side, case in zip(SIDES, cases, strict=True)]
        return replace(verdict, rationale="\n\n".join([*heard, verdict.rationale]).strip())

    def _rebutted(self, begun: tuple[Request, ...], arguments: tuple[str, ...]) -> Steps[tuple[str, ...] | Failure]:
        """Let each critic answer the other, and return what each has said in all."""
        asked = tuple(
            request.then(own, self._prompt.fill("rebut", {**_named(side), "said": neutralise(other)}))
            for request, own, other, side in zip(begun, arguments, arguments[::-1], SIDES, strict=True)
        )
        answers = _said((yield asked))
        if isinstance(answers, Failure):
            return answers
        return tuple(f"{argument}\n\n{answer}" for argument, answer in zip(arguments, answers, strict=True))

    def _decision(self, system: str, shown: str, cases: tuple[str, ...]) -> Request:
        """Ask the judge."""
        user = f"{shown}\n\n{self._prompt.fill('decide', _slots(cases))}"
        return Request(system, user, self._prompt.sections["prefill"], PairwiseV1.labels)

    def _read(self, answer: Completion) -> PairVerdict | Failure:
        return PairwiseV1().parse(answer)


class DebateTextV1(DebateV1):
    """`debate-text.v1`: as `debate.v1`, with a verdict in words, for servers that tell no probabilities."""

    name = "debate-text.v1"
    needs: frozenset[Capability] = frozenset({"replies"})

    def _decision(self, system: str, shown: str, cases: tuple[str, ...]) -> Request:
        user = f"{shown}\n\n{self._prompt.fill('decide', _slots(cases))}"
        return Request(system, user, "", (), reply_tokens=REPLY_TOKENS)

    def _read(self, answer: Completion) -> PairVerdict | Failure:
        return PairwiseTextV1().parse(answer)


def _said(answers: tuple[Completion, ...]) -> tuple[str, ...] | Failure:
    """Return what the critics said."""
    for side, answer in zip(SIDES, answers, strict=True):
        if answer.failure or not aloud(answer.reply):
            return Failure(f"the critic for {side}: {answer.failure or 'an empty argument'}")
    return tuple(aloud(answer.reply) for answer in answers)


def _named(side: str) -> Mapping[str, str]:
    return {"side": side, "other": SIDES[1 - SIDES.index(side)]}


def _slots(cases: tuple[str, ...]) -> Mapping[str, str]:
    first, second = (neutralise(case) for case in cases)
    return {"case_first": first, "case_second": second}
