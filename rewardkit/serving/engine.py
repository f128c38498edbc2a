"""The one seam between the server and a model: what the server needs of it, and a reward model that gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Protocol

from rewardkit.calibration.calibrators import Calibration
from rewardkit.reward_model.rendering import Rendered, Unrendered
from rewardkit.reward_model.whole_texts import Conversation, Whole
from rewardkit.scorer import RewardModel

Encoded = Rendered | Unrendered


@dataclass(frozen=True)
class About:
    """What a server says of its model.

    Attributes:
        name: As requests name it.
        base: The base model, and its revision.
        max_length: Tokens of a conversation, at most.
        too_long: What happens to a longer one.
        calibration: Margins to probabilities, where it has any.
        members: Of its ensemble.
        criteria: On which it rates, too.
        variance_head: Whether it says how far people may be apart.
    """

    name: str
    base: str
    max_length: int
    too_long: str
    calibration: Calibration | None = None
    members: int = 1
    criteria: tuple[str, ...] = ()
    variance_head: bool = False


@dataclass(frozen=True)
class Reading:
    """What a model says of one text.

    Attributes:
        members: Raw reward by each member.
        criteria: Ratings from 0 to 1.
        noise: How far people may be apart about it; None for a model without a variance head.
    """

    members: tuple[float, ...]
    criteria: tuple[float, ...] = ()
    noise: float | None = None

    @property
    def reward(self) -> float:
        """The raw reward, the mean over members."""
        return fmean(self.members)

    @property
    def finite(self) -> bool:
        """Whether all of it are numbers."""
        return all(map(isfinite, (*self.members, *self.criteria, self.noise or 0.0)))


class Engine(Protocol):
    """A model behind a server. `encode` is called by one thread at a time, what computes by another one."""

    about: About

    def encode(self, asked: Sequence[Conversation | Whole]) -> list[Encoded]:
        """Return the ids of each conversation, or why it has none."""

    def with_first(self, sequences: Sequence[list[int]]) -> list[int]:
        """Choose what is best read in one pass with the first of some sequences, as places in it; 0 is among them."""

    def read(self, sequences: Sequence[list[int]]) -> list[Reading]:
        """Return what the model says of each sequence of a group."""


class ModelEngine:
    """A reward model behind a server.

    Args:
        model: The model, with its calibration.
        name: As requests name it.
    """

    def __init__(self, model: RewardModel, name: str) -> None:
        self._model = model.model
        card, renderer = self._model.card, self._model.renderer
        base = f"{card.base}@{card.base_revision}"
        self.about = About(
            name,
            base,
            renderer.max_length,
            renderer.too_long,
            model.calibration,
            members=model.members,
            criteria=tuple(each.name for each in card.criteria),
            variance_head=card.config.variance_head,
        )
        self._texts = model.whole_texts

    def encode(self, asked: Sequence[Conversation | Whole]) -> list[Encoded]:
        """Return the ids of each conversation, or why it has none."""
        return [self._encode(each) for each in asked]

    def _encode(self, asked: Conversation | Whole) -> Encoded:
        conversation = self._texts.read(asked) if isinstance(asked, Whole) else asked
        if isinstance(conversation, Unrendered):
            return conversation
        return self._model.renderer.render(*conversation)

    def with_first(self, sequences: Sequence[list[int]]) -> list[int]:
        """Choose what is best read in one pass with the first of some sequences, as places in it; 0 is among them."""
        return self._model.network.with_first(sequences, self._model.network.tokens)

    def read(self, sequences: Sequence[list[int]]) -> list[Reading]:
        """Return what the model says of each sequence of a group."""
        from rewardkit.reward_model.scoring import forward, noise, ratings

        outputs = forward(self._model, sequences)
        apart = noise(self._model, outputs)
        told = outputs[:, :, 0].tolist(), ratings(self._model, outputs).tolist()
        rows = zip(*told, [None] * len(outputs) if apart is None else apart.tolist(), strict=True)
        return [Reading(tuple(members), tuple(criteria), each) for members, criteria, each in rows]
