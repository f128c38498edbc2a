"""What a job may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.errors import JobFailed
from rewardkit.judge.budget import Budget

money = st.floats(0, 10)


@given(st.lists(st.tuples(money, money)), money, money)
def test_what_was_set_aside_is_never_more_than_there_is(asked, most, spent):
    budget, under_way, refused = Budget(most, None, spent), [], False
    for price, share in asked:
        if budget.reserve(price):
            under_way.append((price, price * share / 10))
        else:
            refused = budget.used_up = True
        # As long as nothing costs more than was set aside, the budget holds however many are under way.
        assert budget.spent <= max(most, spent) + 1e-9
        if len(under_way) > 3:
            budget.settle(*under_way.pop(0))
    for each in under_way:
        budget.settle(*each)
    assert budget.spent <= max(most, spent) + 1e-9
    if refused:
        with pytest.raises(JobFailed, match="the budget is used up"):
            budget.check()
    else:
        budget.check()


def test_a_budget_without_a_limit_lets_everything_go_and_says_once_what_is_spent(capsys):
    budget = Budget(None, 1.0)
    for _ in range(5):
        assert budget.reserve(9.0)
        budget.settle(9.0, 0.5)
    budget.check()
    assert capsys.readouterr().err.count("are spent") == 1 and budget.spent == 2.5
