"""What becomes of raw rewards before a policy learns from them.

A reward model's zero is arbitrary, its extremes are where it was never trained, and what it rewards beside quality
(length) a policy finds first. Each function here is one remedy, on plain arrays; `Shaping` puts them together. A reward
that is missing (NaN) stays missing and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from rewardkit.errors import DataError
from rewardkit.section import Section

Array = npt.NDArray[np.float64]
# Rewards of one group that are as near as this differ by rounding alone.
SAME = 1e-6


class Shaping(Section):
    """What is done to rewards, in the order of the fields; by default nothing.

    Example:
        >>> shaping = Shaping(centre=(1.0,), clip=(-2.0, 2.0), length_budget=4, length_penalty=0.5)
        >>> shaping.apply([[5.0, 1.5]], texts=["four", "sixsix"], groups=["p", "p"]).tolist()
        [2.0, -0.5]
    """

    centre: tuple[float, ...] = Field(
        (),
        description="The reward that counts as 0: one number, or one for each member. Measured once, on other texts.",
    )
    uncertainty: float = Field(
        0.0,
        ge=0.0,
        description="How many standard deviations are taken off: of an ensemble's members, and of a variance head.",
    )
    clip: tuple[float, float] | None = Field(None, description="Least and greatest reward that a model may give.")
    length_budget: int | None = Field(None, ge=0, description="Characters of a response that cost nothing.")
    length_penalty: float = Field(0.0, ge=0.0, description="What each character beyond the budget costs.")
    per_group: bool = Field(
        False, description="Bring the responses to one prompt to mean 0 and standard deviation 1. GRPO does so itself."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("clip: the least reward must be below the greatest")
        if self.length_penalty and self.length_budget is None:
            raise ValueError("length_penalty: say with length_budget from where on")
        return self

    def apply(
        self,
        members: npt.ArrayLike,
        *,
        texts: Sequence[str],
        groups: Sequence[Hashable],
        noise: npt.ArrayLike = 0.0,
    ) -> Array:
        """Shape rewards.

        Args:
            members: Raw rewards of each member of an ensemble, (members, n); NaN where there is none.
            texts: The responses, n of them.
            groups: The prompt of each, n names.
            noise: What variance heads say, (n,).

        Returns:
            Shaped rewards, (n,).

        Raises:
            DataError: `centre` has neither one number nor one for each model.
        """
        rewards = penalise_uncertainty(centre(members, self.centre or (0.0,)), self.uncertainty, noise)
        if self.clip is not None:
            rewards = np.clip(rewards, *self.clip)
        # After the clip: a response at the upper bound still pays for its length.
        if self.length_budget is not None:
            rewards = penalise_length(rewards, texts, budget=self.length_budget, penalty=self.length_penalty)
        return normalise_groups(rewards, groups) if self.per_group else rewards


def centre(members: npt.ArrayLike, at: Sequence[float]) -> Array:
    """Subtract from each model's rewards the reward that counts as 0.

    Args:
        members: (members, n).
        at: One number, or one for each model.

    Raises:
        DataError: There are more numbers than that, or fewer.
    """
    rewards = np.asarray(members, dtype=np.float64)
    if len(at) not in (1, len(rewards)):
        what = f"{len(at)} numbers to centre {len(rewards)} models"
        raise DataError(what, where="centre", expected="one number, or one for each member")
    return rewards - np.asarray(at, dtype=np.float64)[:, None]


def penalise_uncertainty(members: npt.ArrayLike, weight: float, noise: npt.ArrayLike = 0.0) -> Array:
    """Return mean − weight · standard deviation, over members and within them.

    The penalty is the standard deviation and not, as in the source, the variance, so that `weight` has no unit. A
    reward that one model cannot give is missing: the others' agreement would say nothing about it.

    Args:
        members: (members, n), of one zero: the distance between the zeros of two models is no disagreement.
        weight: In standard deviations.
        noise: Standard deviations that the model itself tells, (n,): variances add up (Lakshminarayanan et al. 2017,
            arXiv:1612.01474, section 2.4).

    Returns:
        (n,).

    References:
        Coste et al., Reward model ensembles help mitigate overoptimization (2023), arXiv:2310.02743, section 4.1.
    """
    rewards = np.asarray(members, dtype=np.float64)
    spread = rewards.std(axis=0, ddof=1) if len(rewards) > 1 else 0.0
    return np.asarray(rewards.mean(axis=0) - weight * np.hypot(spread, noise))


def penalise_length(rewards: npt.ArrayLike, texts: Sequence[str], *, budget: int, penalty: float) -> Array:
    """Take off `penalty` for each character of a response beyond `budget`."""
    beyond = np.array([max(len(text) - budget, 0) for text in texts], dtype=np.float64)
    return np.asarray(rewards, dtype=np.float64) - penalty * beyond


def normalise_groups(rewards: npt.ArrayLike, groups: Sequence[Hashable]) -> Array:
    """Bring each group to mean 0 and standard deviation 1.

    A group of one, and one whose rewards are all the same, becomes zeros: it says nothing about which response is
    better, and dividing by a small constant instead would turn rounding errors into rewards.

    Args:
        rewards: (n,); what is missing is left out of the group's mean.
        groups: The group of each, n names.

    References:
        Shao et al., DeepSeekMath (2024), arXiv:2402.03300, equation 3's advantages, which divide by std alone.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    shaped = np.full(len(rewards), np.nan)
    for places in grouped(groups):
        known = places[~np.isnan(rewards[places])]
        if len(known):
            off = rewards[known] - rewards[known].mean()
            spread = off.std(ddof=1) if len(known) > 1 else 0.0
            shaped[known] = off / spread if spread > SAME else 0.0
    return shaped


def spread_within(rewards: npt.ArrayLike, groups: Sequence[Hashable]) -> float | None:
    """Return the mean standard deviation within groups; None where no group has two rewards.

    GRPO learns from differences within a group: where this falls to 0 there is nothing left to learn from.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    known = [rewards[places][~np.isnan(rewards[places])] for places in grouped(groups)]
    spreads = [float(each.std(ddof=1)) for each in known if len(each) > 1]
    return float(np.mean(spreads)) if spreads else None


def grouped(groups: Sequence[Hashable]) -> list[npt.NDArray[np.intp]]:
    """Return the places of each group, in the order in which groups appear."""
    places: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return [np.array(found, dtype=np.intp) for found in places.values()]
