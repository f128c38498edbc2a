"""What the audit looks at: one judge's verdicts and ratings, each beside what people said of the same item.

Everything is in the comparison's frame; which response is A there carries no information, so no number may
change when a comparison is turned round (but those about A itself).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from rewardkit.aggregation.orders import JudgeOpinion, swap_average
from rewardkit.types import Order

# What is left of a difference after the last bit was lost is no preference.
DIGITS = 12


def side(number: float) -> int:
    """Return 1 above 0, −1 below, and 0 at 0."""
    rounded = round(number, DIGITS)
    return (rounded > 0) - (rounded < 0)


@dataclass(frozen=True)
class Vote:
    """What one person said.

    Attributes:
        annotator: Id of who said it.
        group: The rater group.
        value: Of a comparison 1 for A, 0 for B, 0.5 for neither; of a rating its place on the scale, 0 to 1.
        aggregate: Whether it is a majority or a mean of several people.
    """

    annotator: str
    group: str
    value: float
    aggregate: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a judge said once.

    Attributes:
        logit: Log odds of A.
        value: p_a where it gave one, else 1, 0 or 0.5.
        order: In which order it saw the responses; None where that is not known.
        soft: Whether it gave a probability.
        chain: Which verdicts are the same question asked again: those of one chain differ in `repeat` or version.
        current: Whether no later version replaces it.
        tokens: Of the request and the reply; 0 where nobody counted them.
        votes: Probability of A by each vote that it is the mean of, in the order in which they were drawn.
        probes: Probability of the same verdict after thoughts that were tampered with, by what was done to them.
    """

    logit: float
    value: float
    order: Order | None = None
    soft: bool = False
    chain: str = ""
    current: bool = True
    tokens: int = 0
    votes: tuple[float, ...] = ()
    probes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PairCase:
    """One comparison that a judge has answered.

    Attributes:
        unit: What it rises and falls with: its prompt, or its component of shared texts.
        task: The prompt's task.
        doublings: log2 of A's length over B's, in characters.
        writers: Families of the models that wrote A and B; None where that is not known.
        verdicts: The judge's, at least one of them current.
        votes: The people's, one of each person.
    """

    unit: str
    task: str
    doublings: float
    writers: tuple[str | None, str | None]
    verdicts: tuple[Verdict, ...]
    votes: tuple[Vote, ...] = ()

    @cached_property
    def by_order(self) -> dict[Order | None, float]:
        """Mean log odds of A in each order that the judge saw."""
        said: dict[Order | None, list[float]] = defaultdict(list)
        for verdict in self.verdicts:
            if verdict.current:
                said[verdict.order].append(verdict.logit)
        return {order: math.fsum(logits) / len(logits) for order, logits in said.items()}

    @cached_property
    def opinion(self) -> JudgeOpinion:
        """What the judge said, orders averaged in logit space."""
        return swap_average(self.by_order)

    @property
    def choice(self) -> int:
        """The judge's verdict: 1 for A, −1 for B, 0 for neither."""
        return side(self.opinion.logit)

    @property
    def p_a(self) -> float:
        """The judge's probability of A."""
        return 0.5 * (1.0 + math.tanh(0.5 * self.opinion.logit))

    @property
    def swapped(self) -> bool:
        """Whether the judge saw both orders."""
        return "ab" in self.by_order and "ba" in self.by_order

    @cached_property
    def share(self) -> float:
        """Share of people for A; who prefers neither counts half."""
        return math.fsum(vote.value for vote in self.votes) / len(self.votes)

    @property
    def majority(self) -> int:
        """The people's verdict: the side that more of them prefer, 0 where as many prefer each."""
        return side(self.share - 0.5)

    def seen_by(self, group: str) -> PairCase:
        """Return the case with the votes of one group only."""
        return replace(self, votes=tuple(vote for vote in self.votes if vote.group == group))


@dataclass(frozen=True)
class RatingCase:
    """One response that a judge has rated on one criterion; ratings are places on their scales, 0 to 1.

    Attributes:
        unit: What it rises and falls with.
        values: The judge's ratings, repeats included; at least one.
        votes: The people's, one of each person.
    """

    unit: str
    values: tuple[float, ...]
    votes: tuple[Vote, ...] = ()

    @property
    def value(self) -> float:
        """The judge's rating, repeats averaged."""
        return math.fsum(self.values) / len(self.values)

    @property
    def mean(self) -> float:
        """The people's mean."""
        return math.fsum(vote.value for vote in self.votes) / len(self.votes)

    def seen_by(self, group: str) -> RatingCase:
        """Return the case with the votes of one group only."""
        return replace(self, votes=tuple(vote for vote in self.votes if vote.group == group))


def groups_of(cases: Sequence[PairCase] | Sequence[RatingCase]) -> list[str]:
    """Return the rater groups that are there, by name."""
    return sorted({vote.group for case in cases for vote in case.votes})
