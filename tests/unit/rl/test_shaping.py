import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from rewardkit.errors import DataError
from rewardkit.rl import shaping
from rewardkit.rl.shaping import Shaping

NAN = math.nan


def test_uncertainty_by_hand():
    # Two models: 1 and 3 have mean 2 and standard deviation √2; 4 and 4 have none.
    assert shaping.penalise_uncertainty([[1.0, 4.0], [3.0, 4.0]], 0.5).tolist() == pytest.approx([2 - 0.5**0.5, 4.0])
    assert shaping.penalise_uncertainty([[1.0, 4.0]], 0.5).tolist() == [1.0, 4.0]


def test_noise_within_models_adds_to_that_between_them():
    # Variances 2 and 0 between, 7 and 9 within.
    found = shaping.penalise_uncertainty([[1.0, 4.0], [3.0, 4.0]], 0.5, [7**0.5, 3.0])
    assert found.tolist() == pytest.approx([2 - 0.5 * 3, 4 - 0.5 * 3])
    shaped = Shaping(uncertainty=2.0).apply([[1.0, 4.0]], texts=["", ""], groups="pp", noise=[0.5, 0.0])
    assert shaped.tolist() == [0.0, 4.0]


def test_what_one_model_cannot_say_is_missing():
    assert np.isnan(shaping.penalise_uncertainty([[1.0], [NAN]], 1.0)).all()


def test_models_are_centred_each_at_its_own_zero():
    # Two models that agree but for their zeros do not disagree.
    shaped = Shaping(centre=(1.0, 11.0), uncertainty=3.0)
    assert shaped.apply([[2.0, 0.0], [12.0, 10.0]], texts=["", ""], groups="pp").tolist() == [1.0, -1.0]
    with pytest.raises(DataError, match="2 numbers to centre 3 models"):
        shaped.apply(np.zeros((3, 1)), texts=[""], groups="p")


def test_length_costs_beyond_the_budget_also_at_the_upper_bound():
    shaped = Shaping(clip=(-1.0, 1.0), length_budget=3, length_penalty=0.25)
    assert shaped.apply([[9.0, 9.0, -9.0]], texts=["abc", "abcde", ""], groups="pqr").tolist() == [1.0, 0.5, -1.0]


def test_groups_by_hand():
    # The group p holds 1, 3 and one that is missing: mean 2, standard deviation √2. q says nothing, nor does r.
    rewards = [1.0, 5.0, 3.0, NAN, 5.0 + 1e-9, 7.0]
    shaped = shaping.normalise_groups(rewards, "pqppqr")
    assert shaped[:3].tolist() == pytest.approx([-(0.5**0.5), 0.0, 0.5**0.5]) and np.isnan(shaped[3])
    assert shaped[4:].tolist() == [0.0, 0.0]
    assert shaping.spread_within(rewards, "pqppqr") == pytest.approx((2**0.5 + 0.0) / 2, abs=1e-6)
    assert shaping.spread_within([1.0, 2.0], "pq") is None


@given(arrays.arrays(float, st.integers(2, 20), elements=st.floats(-50, 50)), st.floats(0.1, 9), st.floats(-9, 9))
def test_a_groups_shape_does_not_depend_on_zero_and_unit(rewards, unit, zero):
    groups = [place % 2 for place in range(len(rewards))]
    one = shaping.normalise_groups(rewards, groups)
    other = shaping.normalise_groups(rewards * unit + zero, groups)
    spread = [rewards[places].std() for places in shaping.grouped(groups)]
    if min(spread) > 1e-3 or len(rewards) < 4:
        assert other == pytest.approx(one, abs=1e-3)


def test_nothing_is_done_by_default():
    assert Shaping().apply([[1.5, NAN]], texts=["", ""], groups="pp")[0] == 1.5


@pytest.mark.parametrize("fields", [{"clip": (1, 1)}, {"length_penalty": 1}, {"uncertainty": -1}, {"scale": 2}])
def test_what_makes_no_sense_is_refused(fields):
    with pytest.raises(ValidationError):
        Shaping(**fields)
