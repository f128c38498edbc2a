"""What several models say together."""

from __future__ import annotations

import pytest

from rewardkit.rl.asking import ask
from rewardkit.rl.shaping import Shaping


@pytest.mark.parametrize(
    ("models", "penalty"),
    [
        ([{"apart": (0.0,) * 5, "noise": 2.0}, {"noise": 1.0}], ((5 * 4.0 + 1.0) / 6) ** 0.5),
        # A model without a variance head says nothing of it, and does not say that there is none.
        ([{"apart": (0.0,) * 5, "noise": 2.0}, {}], 2.0),
        ([{}, {}], 0.0),
        # Members that are 2 apart have a variance of 2.
        ([{"apart": (-1.0, 1.0), "noise": 7**0.5}], 3.0),
    ],
)
def test_noise_counts_by_member(known, models, penalty):
    found = ask([known(**each) for each in models], Shaping(uncertainty=0.5), ["p"], ["abcd"])
    assert found.values.tolist() == pytest.approx([4.0 - 0.5 * penalty])
