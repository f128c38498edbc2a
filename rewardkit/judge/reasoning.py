"""Reason, then label: the judge thinks under a budget of tokens, and the forced verdict is read from probabilities.

A thought that is longer than its budget is cut and used as it is (Muennighoff et al. 2025, s1, arXiv:2501.19393,
section 3.1): the verdict is asked for in the next turn, so that it is there whatever the thought came to. Whether
thinking helps differs from rubric to rubric: compare it with `pairwise.v1` on people's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from rewardkit.judge.contract import (
    Capability,
    Completion,
    Failure,
    PairTexts,
    PairVerdict,
    RatingVerdict,
    Request,
    ResponseTexts,
    Steps,
)
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.prompting import aloud
from rewardkit.judge.rating import RatingV1
from rewardkit.rubric import Criterion, Rubric
from rewardkit.section import Count, Section
from rewardkit.types import Order


class Thinking(Section):
    """Options of the protocols that think first."""

    thought_tokens: Count = Field(256, description="longest thought; a longer one is cut, and used as it is")


@dataclass(frozen=True)
class Thought:
    """What was thought, and the answer after it.

    Attributes:
        text: In the judge's words.
        was_cut: Whether it would have gone on.
        answer: To the question that followed.
    """

    text: str
    was_cut: bool
    answer: Completion

    @property
    def details(self) -> Mapping[str, Any]:
        """What is worth keeping of it beside its words."""
        return {"thought_cut": True} if self.was_cut else {}


class ReasonedV1(PairwiseV1):
    """`reasoned.v1`: a thought, then A or B.

    Args:
        options: How long it may think.
    """

    name = "reasoned.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Thinking

    def __init__(self, options: Thinking | None = None) -> None:
        super().__init__()
        self.options = options or Thinking()

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask for a thought, and for the verdict after it."""
        asked, question = self.render(texts, rubric, order), self._prompt.fill("verdict", {})
        thought = yield from think_first(asked, question, self.options.thought_tokens)
        if isinstance(thought, Failure):
            return thought
        verdict = self.parse(thought.answer)
        if isinstance(verdict, Failure):
            return verdict
        return replace(verdict, rationale=thought.text, details=thought.details)


class RatingReasonedV1(RatingV1):
    """`rating-reasoned.v1`: a thought, then a number from 1 to 5.

    Args:
        options: How long it may think.
    """

    name = "rating-reasoned.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Thinking

    def __init__(self, options: Thinking | None = None) -> None:
        super().__init__()
        self.options = options or Thinking()

    def rate(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Steps[RatingVerdict | Failure]:
        """Ask for a thought on one criterion, and for the number after it."""
        asked, question = self.render_rating(texts, rubric, criterion), self._prompt.fill("verdict", {})
        thought = yield from think_first(asked, question, self.options.thought_tokens)
        if isinstance(thought, Failure):
            return thought
        rating = self.parse_rating(thought.answer)
        if isinstance(rating, Failure):
            return rating
        return replace(rating, rationale=thought.text, details=thought.details)


def think_first(asked: Request, question: str, tokens: int) -> Steps[Thought | Failure]:
    """Ask for words first, and then for a label.

    Args:
        asked: What there is to think about, with the labels and what stands before them.
        question: That is put after the thought.
        tokens: Longest thought.
    """
    (said,) = yield (replace(asked, prefill="", labels=(), reply_tokens=tokens, cut=True),)
    if said.failure:
        return Failure(said.failure)
    text = aloud(said.reply)
    if not text:
        return Failure("an empty thought")
    (answer,) = yield (asked.then(text, question),)
    return Thought(text, said.was_cut, answer)
