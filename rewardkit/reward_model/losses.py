"""Losses: pure functions of two rewards, a soft target and a weight, unreduced.

Contract: `loss(reward_a, reward_b, p_a, sample_weight) -> (batch,)`, all arguments of shape (batch,).
Swapping the responses and replacing p_a by 1 − p_a leaves every loss unchanged. What else a loss takes are numbers with
defaults, by name only (`train.loss_options`).

A judge that errs in one direction is corrected before training, by calibration; no loss can do that. Those for labels
that were flipped by chance are here to compare with.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from torch import Tensor
from torch.nn.functional import softplus

from rewardkit.errors import ConfigError
from rewardkit.registry import lookup, suggestion


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


def label_smoothing(
    reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor, *, rate: float = 0.1
) -> Tensor:
    """Bradley–Terry with targets moved towards ½ by a rate: p_a · (1 − 2 rate) + rate.

    Arguments and result as in `bradley_terry`; `rate` in [0, ½) is the share of labels that are taken to be flipped.

    References:
        Mitchell 2023, A note on DPO with noisy preferences and relationship to IPO (cDPO).
    """
    return bradley_terry(reward_a, reward_b, p_a * (1.0 - 2.0 * _flips(rate)) + rate, sample_weight)


def robust(reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor, *, rate: float = 0.1) -> Tensor:
    """Bradley–Terry whose expectation over labels flipped at a rate is that over the true ones; it may be negative.

    Arguments and result as in `bradley_terry`; `rate` in [0, ½) is the share of labels that are taken to be flipped.

    References:
        Chowdhury, Kini & Natarajan 2024, Provably robust DPO (arXiv:2403.00409), with the reward's margin.
    """
    as_said = bradley_terry(reward_a, reward_b, p_a, sample_weight)
    flipped = bradley_terry(reward_a, reward_b, 1.0 - p_a, sample_weight)
    return ((1.0 - _flips(rate)) * as_said - rate * flipped) / (1.0 - 2.0 * rate)


def margin(reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor, *, size: float = 1.0) -> Tensor:
    """Bradley–Terry in which the better side must be ahead by size · |2 p_a − 1|: the clearer, the farther.

    Arguments and result as in `bradley_terry`; `size` is in nats, as margins are.

    References:
        Touvron et al. 2023, Llama 2 (arXiv:2307.09288), equation 2, with the certainty of a soft label as its rating.
    """
    ahead = size * (2.0 * p_a - 1.0)
    return bradley_terry(reward_a - ahead, reward_b, p_a, sample_weight)


LOSSES: dict[str, Loss] = {
    "bradley_terry": bradley_terry,
    "label_smoothing": label_smoothing,
    "robust": robust,
    "margin": margin,
}


def loss_of(name: str, options: Mapping[str, float]) -> Loss:
    """Return a registered loss with its options.

    Raises:
        ConfigError: Nothing has this name, or it takes no such option, or not of this size.
    """
    loss = lookup("losses", LOSSES, name, where="train.loss")
    parameters = inspect.signature(loss).parameters.values()
    takes = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    for key in options.keys() - takes.keys():
        raise ConfigError(
            f"{name!r} has no option {key!r}",
            where="train.loss_options",
            expected=", ".join(takes) or "none",
            fix=suggestion(key, takes),
        )
    _flips(options.get("rate", 0.0))
    return partial(loss, **options) if options else loss  # type: ignore[arg-type]


def _flips(rate: float) -> float:
    if not 0.0 <= rate < 0.5:
        raise ConfigError(
            f"the share of flipped labels is {rate:g}", where="train.loss_options.rate", expected="from 0 to below 0.5"
        )
    return rate
