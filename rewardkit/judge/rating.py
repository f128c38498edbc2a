"""Rating protocols: where a response stands on one criterion.

The rating is the expectation over the number tokens, not the most probable number: it is finer, and it
is what a calibrator needs (Liu et al. 2023, G-Eval, arXiv:2303.16634).
"""

from __future__ import annotations

from rewardkit.judge.contract import (
    Capability,
    Completion,
    Failure,
    RatingVerdict,
    Request,
    ResponseTexts,
)
from rewardkit.judge.distributions import distribution
from rewardkit.judge.prompting import anchors, conversation, neutralise, read_prompt
from rewardkit.judge.questions import OneRatingQuestion
from rewardkit.rubric import Criterion, Rubric

LEAST_MASS = 0.01
NOT_APPLICABLE = "0"
"""A digit like the others: most tokenizers split a number from the space before it, and a letter not."""


class RatingV1(OneRatingQuestion):
    """`rating.v1`: one criterion a request; the answer is a number from 1 to 5, whatever the rubric's scale."""

    name = "rating.v1"
    labels: tuple[str, ...] = ("1", "2", "3", "4", "5")
    needs: frozenset[Capability] = frozenset({"labels"})

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def render_rating(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Request:
        """Ask for a number on one criterion."""
        slots = {
            "rubric": rubric.description.strip(),
            "criterion": f"{criterion.name}: {criterion.said}",
            "anchors": anchors(criterion, rubric.scale, (1.0, 5.0)),
            "request": conversation(texts.prompt),
            "response": neutralise(texts.response.text),
        }
        system, user = self._prompt.asked(slots)
        return Request(system, user, self._prompt.sections["prefill"], self.labels)

    def parse_rating(self, completion: Completion) -> RatingVerdict | Failure:
        """Read the expected place between the lowest label (0) and the highest (1)."""
        found = distribution(completion, self.labels, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        low, high = int(self.labels[0]), int(self.labels[-1])
        mean = sum(int(label) * share for label, share in found.probabilities.items())
        return RatingVerdict(min(max((mean - low) / (high - low), 0.0), 1.0), found.mass_outside)


class RatingV2(RatingV1):
    """`rating.v2`: as `rating.v1`, and 0 where the criterion does not apply; then nothing is rated."""

    name = "rating.v2"
    labels = (*RatingV1.labels, NOT_APPLICABLE)

    def parse_rating(self, completion: Completion) -> RatingVerdict | Failure:
        """Read the expected place among the numbers; no place where 0 is more probable than all of them together."""
        found = distribution(completion, self.labels, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        numbers = {label: share for label, share in found.probabilities.items() if label != NOT_APPLICABLE}
        whole = sum(numbers.values())
        if whole <= 0.5:
            return RatingVerdict(None, found.mass_outside)
        mean = sum(int(label) * share for label, share in numbers.items()) / whole
        low, high = int(self.labels[0]), int(self.labels[-2])
        return RatingVerdict(min(max((mean - low) / (high - low), 0.0), 1.0), found.mass_outside)
