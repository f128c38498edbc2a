"""What protocols for lists say to the run: the third kind, beside those of `contract` for pairs and for ratings.

A group of comparisons of one prompt (a ranking that people gave, or are to give) is shown as the list that it is, and
its responses are read once instead of once a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rewardkit.judge.contract import Capability, Failure, Steps
from rewardkit.rubric import Rubric
from rewardkit.types import Order, Prompt, Response


@dataclass(frozen=True)
class ListVerdict:
    """A parsed choice of the best of several responses.

    Attributes:
        best: Probability that it is the best, among the labels, of each response in the order in which they were shown.
        mass_outside: Probability that the model gave to anything but the labels.
    """

    best: tuple[float, ...]
    mass_outside: float


class GroupTexts(Protocol):
    """Responses to one prompt that are shown together."""

    @property
    def prompt(self) -> Prompt:
        """What they answer."""

    @property
    def responses(self) -> Sequence[Response]:
        """All of them, in the order of their ids."""


class ListProtocol(Protocol):
    """How a list becomes questions, and the answers a choice. A published version never changes.

    Attributes:
        most_responses: How many responses it can show; larger groups are for a protocol for pairs.
    """

    name: str
    prompt_hash: str
    needs: frozenset[Capability]
    most_responses: int

    def rank(self, texts: GroupTexts, rubric: Rubric, order: Order) -> Steps[ListVerdict | Failure]:
        """Ask which response is the best, showing them by their ids (ab) or the other way round (ba); never raises."""
