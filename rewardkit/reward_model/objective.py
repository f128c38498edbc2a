"""What training minimises for each comparison: the loss of its preference, and that of its texts' ratings beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rewardkit.reward_model.collation import Group
from rewardkit.reward_model.losses import ChosenLoss


def variances(outputs: Tensor) -> Tensor:
    """Return the variances of rewards that the last outputs stand for, (…,), of outputs (…, outputs)."""
    found: Tensor = functional.softplus(outputs[..., -1])
    return found


@dataclass(frozen=True)
class Objective:
    """What is minimised: the loss of comparisons, and beside it that of ratings.

    Attributes:
        preference: The registered loss.
        centring: Weight of the squared sum of a comparison's rewards (Eisenstein et al. 2023, arXiv:2312.09244, section
            A.2: a comparison says nothing of it).
        criteria: Weight of the ratings' squared errors.
        length: What a doubling of length adds to a margin, in nats, so that rewards need not learn it.
        variance: Whether the last output says how uncertain a reward is. A preference is then that of a margin drawn
            from a normal distribution: sigmoid of the mean by sqrt(1 + π/8 · variance) is its probability nearly
            (MacKay 1992, doi:10.1162/neco.1992.4.5.720, equation 5.5).
    """

    preference: ChosenLoss
    centring: float = 0.0
    criteria: float = 1.0
    length: float = 0.0
    variance: bool = False

    def __call__(self, outputs: Tensor, group: Group) -> Tensor:
        """Return the loss of each comparison, (comparisons,).

        Args:
            outputs: What a member says of the texts, (texts, outputs).
            group: The comparisons.
        """
        group = group.to(outputs.device)
        a, b = outputs[group.row_a, 0], outputs[group.row_b, 0]
        higher = a
        if self.variance:
            uncertain = variances(outputs)
            higher = b + (a - b) / (1 + math.pi / 8 * (uncertain[group.row_a] + uncertain[group.row_b])).sqrt()
        # The slope of length was fitted to labels as they are, so nothing divides it.
        higher = higher + self.length * group.doublings
        loss = self.preference(higher, b, group.p_a, group.sample_weight, group.p_tie)
        if self.centring:
            loss = loss + self.centring * group.sample_weight * (a + b).square()
        if len(group.ratings):
            text, column, comparison = group.cells
            errors = (outputs[text, 1 + column] - group.ratings).square()
            count = torch.bincount(comparison, minlength=len(group)).clamp(min=1)
            loss = loss + self.criteria * torch.zeros_like(loss).index_add(0, comparison, errors) / count
        return loss
