"""Both orders averaged in logit space, and what is left over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.aggregation.orders import JudgeOpinion, swap_average
from rewardkit.errors import DataError

logits = st.floats(-20, 20)


def test_a_lean_to_the_first_cancels_and_is_the_residual():
    # A is ahead by 1 logit; what is shown first gets 2 more: 1 + 2 where A is first, 1 − 2 where B is.
    assert swap_average({"ab": 3.0, "ba": -1.0}) == JudgeOpinion(1.0, 2.0)


def test_it_is_the_mean_of_logits_and_not_of_probabilities():
    # p_a .9 and .4: logits 2.197 and −0.405, mean 0.896, which is .710; the mean of the probabilities is .65.
    opinion = swap_average({"ab": math.log(9), "ba": math.log(2 / 3)})
    assert 1 / (1 + math.exp(-opinion.logit)) == pytest.approx(6**0.5 / (1 + 6**0.5)) == pytest.approx(0.710, abs=5e-4)


def test_one_order_has_no_residual():
    assert swap_average({"ba": 0.7}) == JudgeOpinion(0.7, None)
    assert swap_average({None: 0.7}) == JudgeOpinion(0.7, None)
    with pytest.raises(DataError, match="no verdict"):
        swap_average({})


@given(logits, logits)
def test_turning_the_comparison_round_negates_the_logit_and_keeps_the_residual(ab, ba):
    # Seen the other way round each logit changes its sign, and what was ab is ba.
    one, other = swap_average({"ab": ab, "ba": ba}), swap_average({"ab": -ba, "ba": -ab})
    assert other.logit == -one.logit and other.position_residual == one.position_residual


@given(logits, logits)
def test_the_orders_are_the_mean_and_the_residual(ab, ba):
    found = swap_average({"ab": ab, "ba": ba})
    assert found.logit + found.position_residual == pytest.approx(ab, abs=1e-9)
    assert found.logit - found.position_residual == pytest.approx(ba, abs=1e-9)
