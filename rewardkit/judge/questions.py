"""How most protocols ask: one question, one answer, one verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rewardkit.judge.contract import (
    Completion,
    Failure,
    PairTexts,
    PairVerdict,
    RatingVerdict,
    Request,
    ResponseTexts,
    Steps,
)
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Order


class OnePairQuestion(ABC):
    """A protocol that asks about a comparison once."""

    @abstractmethod
    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better, showing response A first (ab) or second (ba)."""

    @abstractmethod
    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the answer; never raises."""

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask, and read the answer."""
        (answer,) = yield (self.render(texts, rubric, order),)
        return self.parse(answer)


class OneRatingQuestion(ABC):
    """A protocol that asks about a response once for each criterion."""

    @abstractmethod
    def render_rating(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Request:
        """Ask where on the scale the response stands."""

    @abstractmethod
    def parse_rating(self, completion: Completion) -> RatingVerdict | Failure:
        """Read the answer; never raises."""

    def rate(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Steps[RatingVerdict | Failure]:
        """Ask, and read the answer."""
        (answer,) = yield (self.render_rating(texts, rubric, criterion),)
        return self.parse_rating(answer)
