from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.reward_model.losses import bradley_terry


def test_by_hand():
    # margin ln 3, so P(A) = 3/4: loss = -(.5 ln .75 + .5 ln .25), doubled by the weight.
    loss = bradley_terry(torch.tensor([math.log(3.0)]), torch.zeros(1), torch.tensor([0.5]), torch.tensor([2.0]))
    assert math.isclose(loss.item(), -(math.log(0.75) + math.log(0.25)), rel_tol=1e-6)


@settings(deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(0, 1))
def test_agrees_with_torch_and_never_overflows(margin, p_a):
    m, p = torch.tensor([margin], dtype=torch.float64), torch.tensor([p_a], dtype=torch.float64)
    loss = bradley_terry(m, torch.zeros_like(m), p, torch.ones_like(m))
    torch.testing.assert_close(loss, torch.nn.functional.binary_cross_entropy_with_logits(m, p, reduction="none"))
