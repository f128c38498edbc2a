"""Losses: pure functions of two rewards, a soft target and a weight, unreduced.

Contract: `loss(reward_a, reward_b, p_a, sample_weight) -> (batch,)`, all arguments of shape (batch,).
Swapping the responses and replacing p_a by 1 − p_a leaves every loss unchanged. What else a loss takes are numbers with
defaults, by name only (`train.loss_options`), and `p_tie`, the probability of a tie, which counts half in p_a.

A judge that errs in one direction is corrected before training, by calibration; no loss can do that. Those for labels
that were flipped by chance are here to compare with.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
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


def davidson(  # noqa: PLR0913 - the contract, a probability and an option
    reward_a: Tensor,
    reward_b: Tensor,
    p_a: Tensor,
    sample_weight: Tensor,
    *,
    p_tie: Tensor | None = None,
    nu: float = 1.0,
) -> Tensor:
    """Cross entropy over A, B and a tie, whose odds against A and B together fall as the rewards move apart.

    P(A) : P(B) : P(tie) = e^(m/2) : e^(−m/2) : ν with the margin m. Arguments and result as in `bradley_terry`;
    `p_tie` are the probabilities of a tie, (batch,), none if absent; ties between equal responses are ν : 2.

    References:
        Davidson 1970, On extending the Bradley-Terry model to accommodate ties in paired comparison experiments.
    """
    half = (reward_a - reward_b) / 2.0
    tie = torch.full_like(half, math.log(_positive(nu, "nu")))
    log_p = torch.stack([half, -half, tie]).log_softmax(dim=0)
    return -sample_weight * (_three_ways(p_a, p_tie) * log_p).sum(dim=0)


def rao_kupper(  # noqa: PLR0913 - the contract, a probability and an option
    reward_a: Tensor,
    reward_b: Tensor,
    p_a: Tensor,
    sample_weight: Tensor,
    *,
    p_tie: Tensor | None = None,
    theta: float = 2.0,
) -> Tensor:
    """Cross entropy over A, B and a tie: one is preferred only if it is ahead by a threshold log θ.

    P(A) = sigmoid(m − log θ), P(B) = sigmoid(−m − log θ), P(tie) = (θ² − 1) P(A) P(B) with the margin m. Arguments and
    result as in `davidson`; θ > 1.

    References:
        Rao & Kupper 1967, Ties in paired-comparison experiments: a generalization of the Bradley-Terry model.
    """
    margin, threshold = reward_a - reward_b, math.log(_positive(theta - 1.0, "theta - 1") + 1.0)
    log_a, log_b = -softplus(threshold - margin), -softplus(threshold + margin)
    log_p = torch.stack([log_a, log_b, math.log(theta**2 - 1.0) + log_a + log_b])
    return -sample_weight * (_three_ways(p_a, p_tie) * log_p).sum(dim=0)


def _three_ways(p_a: Tensor, p_tie: Tensor | None) -> Tensor:
    """Return the probabilities of A, B and a tie, (3, batch); ties count half in p_a, which bounds them."""
    tie = torch.zeros_like(p_a) if p_tie is None else torch.minimum(p_tie, 2.0 * torch.minimum(p_a, 1.0 - p_a))
    return torch.stack([p_a - tie / 2.0, 1.0 - p_a - tie / 2.0, tie])


LOSSES: dict[str, Loss] = {
    "bradley_terry": bradley_terry,
    "label_smoothing": label_smoothing,
    "robust": robust,
    "margin": margin,
    "davidson": davidson,
    "rao_kupper": rao_kupper,
}
TIES = "p_tie"


@dataclass(frozen=True)
class ChosenLoss:
    """A registered loss with its options.

    Attributes:
        loss: The loss.
        takes_ties: Whether it is told how probable ties are; the others know half of them for A and half for B.
    """

    loss: Loss
    takes_ties: bool = False

    def __call__(  # noqa: PLR0913 - as losses are called
        self, reward_a: Tensor, reward_b: Tensor, p_a: Tensor, sample_weight: Tensor, p_tie: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each comparison, (batch,)."""
        more = {TIES: p_tie} if self.takes_ties else {}
        return self.loss(reward_a, reward_b, p_a, sample_weight, **more)


def loss_of(name: str, options: Mapping[str, float]) -> ChosenLoss:
    """Return a registered loss with its options.

    Raises:
        ConfigError: Nothing has this name, or it takes no such option, or not of this size.
    """
    loss = lookup("losses", LOSSES, name, where="train.loss")
    parameters = inspect.signature(loss).parameters.values()
    named = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    takes = {key: default for key, default in named.items() if key != TIES}
    for key in options.keys() - takes.keys():
        raise ConfigError(
            f"{name!r} has no option {key!r}",
            where="train.loss_options",
            expected=", ".join(takes) or "none",
            fix=suggestion(key, takes),
        )
    _flips(options.get("rate", 0.0))
    _positive(options.get("nu", 1.0), "nu")
    _positive(options.get("theta", 2.0) - 1.0, "theta - 1")
    return ChosenLoss(partial(loss, **options) if options else loss, TIES in named)  # type: ignore[arg-type]


def _positive(value: float, name: str) -> float:
    if not value > 0.0:
        raise ConfigError(f"{name} is {value:g}", where="train.loss_options", expected="above 0")
    return value


def _flips(rate: float) -> float:
    if not 0.0 <= rate < 0.5:
        raise ConfigError(
            f"the share of flipped labels is {rate:g}", where="train.loss_options.rate", expected="from 0 to below 0.5"
        )
    return rate
