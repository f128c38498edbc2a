"""Losses: pure functions of two rewards, a soft target and a weight, unreduced.

Contract: `loss(reward_a, reward_b, p_a, sample_weight) -> (batch,)`, all arguments of shape (batch,).
Swapping the responses and replacing p_a by 1 − p_a leaves every loss unchanged.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn.functional import softplus


class Loss(Protocol):
    """A loss over comparisons."""

    def __call__(self, reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor) -> Tensor:
        """Return the loss of each comparison, shape (batch,)."""


def bradley_terry(reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor) -> Tensor:
    """Cross entropy between p_a and the Bradley–Terry probability sigmoid(reward_a − reward_b), in nats.

    Args:
        reward_a: Rewards of the first responses, (batch,).
        reward_b: Rewards of the second responses, (batch,).
        p_a: Soft targets in [0, 1], (batch,).
        sample_weight: Non-negative weights, (batch,).

    Returns:
        Weighted loss of each comparison, (batch,).

    References:
        Bradley & Terry 1952; Christiano et al. 2017 (arXiv:1706.03741), section 2.2.3, with p_a as μ(1).
    """
    margin = reward_a - reward_b
    # softplus(−m) = −log sigmoid(m) without overflow for large |m|.
    return sample_weight * (p_a * softplus(-margin) + (1.0 - p_a) * softplus(margin))


LOSSES: dict[str, Loss] = {"bradley_terry": bradley_terry}
