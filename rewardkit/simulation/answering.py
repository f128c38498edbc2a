"""What a persona sends from the page: an answer to a comparison, a ranking or a rating, from what is shown.

The page tells no ids and no levels; what a text is worth is looked up by the text itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from rewardkit.errors import DataError, JobFailed
from rewardkit.simulation.personas import Persona, strength_of
from rewardkit.types import content_id

SHOWN = {"a": "first", "b": "second"}


@dataclass(frozen=True)
class Worth:
    """What the texts of a study are worth.

    Attributes:
        levels: Level of each text.
    """

    levels: Mapping[str, float]

    @cached_property
    def range(self) -> tuple[float, float]:
        """Lowest and highest level."""
        return min(self.levels.values()), max(self.levels.values())

    @cached_property
    def usual_length(self) -> float:
        """Mean of log2 of the characters."""
        return fmean(_length(text) for text in self.levels)

    def level(self, text: str) -> float:
        """Return the level of a text.

        Raises:
            DataError: It is of none that were known when the visit began.
        """
        if text not in self.levels:
            raise DataError("the page shows a text whose level is not known", where=text[:80], fix="start again")
        return self.levels[text]


def answer_to(persona: Persona, item: Mapping[str, Any], worth: Worth, answered: int) -> dict[str, Any]:
    """Return what a persona says of an item.

    Args:
        persona: Who.
        item: As the page shows it.
        worth: Of all texts.
        answered: How many items they have answered before.

    Raises:
        DataError: The worth of a text is not known.
        JobFailed: It is a task that personas cannot do.
    """
    texts = [response["text"] for response in item["responses"]]
    if item["task"] == "comparison":
        return _comparison(persona, texts, worth, answered)
    if item["task"] == "ranking":
        return {"task": "ranking", "ranks": _ranks(persona, texts, worth, answered)}
    if item["task"] == "rating":
        low, high = item["scale"]
        rater = _Rater(persona, texts[0], worth, answered)
        ratings = {each["name"]: rater.rate(each["name"], low, high) for each in item["criteria"]}
        return {"task": "rating", "ratings": ratings}
    raise JobFailed(f"the page asks for a {item['task']}, which no persona can do")


def subject_of(texts: Sequence[str]) -> str:
    """Return what stands for texts in the order in which they are shown."""
    return content_id("shown", *texts)


def _length(text: str) -> float:
    return math.log2(len(text))


def _comparison(persona: Persona, texts: Sequence[str], worth: Worth, answered: int) -> dict[str, Any]:
    # What is shown first stands for A.
    first, second = texts
    gap, doublings = worth.level(first) - worth.level(second), _length(first) - _length(second)
    logit = persona.logit(gap, doublings, "ab", answered)
    choice = SHOWN.get(persona.choose(subject_of(texts), "ab", logit), "tie")
    strength = None if choice == "tie" else strength_of(logit)
    return {"task": "comparison", "choice": choice, "strength": strength}


def _ranks(persona: Persona, texts: Sequence[str], worth: Worth, answered: int) -> dict[str, int]:
    """Return the rank of each place: by utilities with Gumbel noise, two of which differ as a comparison's logit does.

    Neighbours whose utilities differ by less than the width of a tie share a rank.

    References:
        Luce (1959), Individual Choice Behavior; Yellott (1977), J. Math. Psychology 15.
    """
    settings, subject, last = persona.settings, subject_of(texts), len(texts) - 1
    noise = [-math.log(-math.log(persona.uniform(subject, f"place {at}") + 2**-53)) for at in range(len(texts))]
    if settings.spam in ("first", "second"):
        sign = 1 if settings.spam == "first" else -1
        noise, known, width = [-sign * float(at) for at in range(len(texts))], [0.0] * len(texts), 0.0
    elif settings.spam == "random" or persona.lapses(subject):
        known, width = [0.0] * len(texts), 0.0
    else:
        known = [
            persona.reliability(answered) * worth.level(text)
            + settings.length_bias * _length(text)
            + settings.position_bias * (1 - at / last)
            for at, text in enumerate(texts)
        ]
        width = settings.tie_width
    order = sorted(range(len(texts)), key=lambda at: -(known[at] + noise[at]))
    ranks = {order[0]: 1}
    for rank, (above, at) in enumerate(zip(order, order[1:], strict=False), start=2):
        ranks[at] = ranks[above] if abs(known[above] - known[at]) < width else rank
    return {str(at + 1): ranks[at] for at in range(len(texts))}


@dataclass(frozen=True)
class _Rater:
    """A persona before one response.

    They see its level through logistic noise of 1/|reliability| levels and put it where it stands between the
    lowest and the highest level of the study.
    """

    persona: Persona
    text: str
    worth: Worth
    answered: int

    def rate(self, criterion: str, low: float, high: float) -> float:
        """Return a step of the scale."""
        settings, subject = self.persona.settings, subject_of([self.text])
        at = self.persona.uniform(subject, f"rating {criterion}") + 2**-53
        if settings.spam in ("first", "second"):
            return low if settings.spam == "first" else high
        reliability = self.persona.reliability(self.answered)
        if settings.spam == "random" or self.persona.lapses(subject) or reliability == 0:
            return low + math.floor(at * (math.floor(high - low) + 1))
        share = self._seen(reliability, math.log(at / (1 - at)))
        return low + round(min(1.0, max(0.0, share)) * math.floor(high - low))

    def _seen(self, reliability: float, noise: float) -> float:
        """Return where the response seems to stand, 0 for the lowest level and 1 for the highest."""
        lowest, highest = self.worth.range
        if highest == lowest:
            return 0.5
        middle = (lowest + highest) / 2
        longer = self.persona.settings.length_bias * (_length(self.text) - self.worth.usual_length)
        logit = reliability * (self.worth.level(self.text) - middle) + longer + noise
        return 0.5 + logit / abs(reliability) / (highest - lowest)
