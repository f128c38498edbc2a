"""A completion's label log-probabilities → a distribution over the labels, and the mass that is on none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rewardkit.judge.contract import Completion, Failure

MOST_HIDDEN = 0.02


@dataclass(frozen=True)
class LabelDistribution:
    """Probabilities of the labels given that the answer is one of them, and the mass that is not.

    Attributes:
        probabilities: Label: probability among the labels (they sum to 1).
        mass_outside: Probability of any other token.
        hidden: What labels whose probability nobody told may hold at most, as a share of the labels' mass.
    """

    probabilities: Mapping[str, float]
    mass_outside: float
    hidden: float = 0.0


def distribution(completion: Completion, labels: tuple[str, ...], least_mass: float) -> LabelDistribution | Failure:
    """Read a completion's label probabilities, or say what is wrong with them.

    Args:
        completion: A backend's answer.
        labels: The labels that must be there.
        least_mass: Below this probability of answering with a label at all, the labels mean nothing.
    """
    if completion.failure:
        return Failure(completion.failure)
    told = {**completion.bounds, **completion.logprobs}
    absent = [label for label in labels if label not in told]
    if absent:
        return Failure(f"no log-probability for the label {absent[0]!r}")
    logprobs = [told[label] for label in labels]
    if any(math.isnan(value) or value > 1e-3 for value in logprobs):
        return Failure("a log-probability is not one")
    masses = [math.exp(min(value, 0.0)) for value in logprobs]
    inside = sum(masses)
    if inside > 1.001:
        return Failure("the labels' probabilities sum to more than 1")
    if inside < least_mass:
        return Failure(f"the labels hold less than {least_mass:g} of the probability")
    shares = {label: mass / inside for label, mass in zip(labels, masses, strict=True)}
    # A label that is not told of counts with the most that it may hold: towards doubt, and by little or not at all.
    hidden = sum(share for label, share in shares.items() if label not in completion.logprobs)
    if hidden > MOST_HIDDEN:
        return Failure(f"labels that are not among the most probable tokens may hold up to {hidden:.0%}")
    return LabelDistribution(shares, max(0.0, 1.0 - inside), hidden)
