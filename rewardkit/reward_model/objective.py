"""What training minimises for each comparison: the loss of its preference, and that of its texts' ratings beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rewardkit.reward_model.collation import Group
from rewardkit.reward_model.losses import ChosenLoss


@dataclass(frozen=True)
class Objective:
    """What is minimised: the loss of comparisons, and beside it that of ratings.

    Attributes:
        preference: The registered loss.
        centring: Weight of the squared sum of a comparison's rewards (Eisenstein et al. 2023, arXiv:2312.09244, section
            A.2: a comparison says nothing of it).
        criteria: Weight of the ratings' squared errors.
        length: What a doubling of length adds to a margin, in nats, so that rewards need not learn it.
    """

    preference: ChosenLoss
    centring: float = 0.0
    criteria: float = 1.0
    length: float = 0.0

    def __call__(self, outputs: Tensor, group: Group) -> Tensor:
        """Return the loss of each comparison, (comparisons,).

        Args:
            outputs: What a member says of the texts, (texts, outputs).
            group: The comparisons.
        """
        group = group.to(outputs.device)
        a, b = outputs[group.row_a, 0], outputs[group.row_b, 0]
        loss = self.preference(a + self.length * group.doublings, b, group.p_a, group.sample_weight, group.p_tie)
        if self.centring:
            loss = loss + self.centring * group.sample_weight * (a + b).square()
        if len(group.ratings):
            text, column, comparison = group.cells
            errors = (outputs[text, 1 + column] - group.ratings).square()
            count = torch.bincount(comparison, minlength=len(group)).clamp(min=1)
            loss = loss + self.criteria * torch.zeros_like(loss).index_add(0, comparison, errors) / count
        return loss
