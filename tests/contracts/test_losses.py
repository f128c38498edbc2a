"""One suite over every registered loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.registry import registered
from rewardkit.reward_model.losses import LOSSES

NAMES = sorted(registered("losses", LOSSES))
ROWS = st.lists(
    st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 1), st.floats(0, 5)), min_size=1, max_size=8
)


def columns(rows):
    return [torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(rows=ROWS)
def test_unreduced_finite_and_the_same_seen_the_other_way_round(name, rows):
    loss = registered("losses", LOSSES)[name]
    a, b, p, w = columns(rows)
    values = loss(a, b, p, w)
    assert values.shape == a.shape
    assert torch.isfinite(values).all()
    torch.testing.assert_close(values, loss(b, a, 1 - p, w))


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_is_silence_and_gradients_point_to_the_target(name):
    loss = registered("losses", LOSSES)[name]
    a = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    loss(
        a,
        torch.zeros(3, dtype=torch.float64),
        torch.tensor([0.9, 0.1, 0.9]).double(),
        torch.tensor([1.0, 1, 0]).double(),
    ).sum().backward()
    assert a.grad[0] < 0 < a.grad[1]
    assert a.grad[2] == 0
