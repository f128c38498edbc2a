import math

import numpy as np
import pytest
from pydantic import ValidationError

from rewardkit.rl.selecting import Selected, Selecting, kl_upper_bound, rows_of, select

NAN = math.nan
MESSAGES = [{"role": "user", "content": "A poem."}]


@pytest.mark.parametrize(
    ("rewards", "how", "expected"),
    [
        ([1.0, 3.0, 2.0], {}, Selected((1,), None, 3, tied=False)),
        ([1.0, 3.0, 2.0], {"n": 1}, Selected((0,), None, 1, tied=False)),
        ([1.0, 3.0, 2.0], {"keep": 2}, Selected((1, 2), None, 3, tied=False)),
        ([1.0, 3.0, 2.0], {"keep": 5, "at_least": 2.0}, Selected((1, 2), None, 3, tied=False)),
        # Of equal rewards the first; that its equal is out is on record.
        ([2.0, 3.0, 3.0], {}, Selected((1,), None, 3, tied=True)),
        ([2.0, 3.0, 3.0], {"keep": 2}, Selected((1, 2), None, 3, tied=False)),
        # What has no reward is neither the best nor the worst.
        ([NAN, 1.0, 0.0, NAN], {}, Selected((1,), None, 2, tied=False)),
        ([NAN, 1.0, 0.0, NAN], {"form": "pairs"}, Selected((1,), 2, 2, tied=False)),
        ([1.0, 0.0, 1.0], {"form": "pairs"}, Selected((0,), 1, 3, tied=True)),
        ([NAN], {}, "no response has a reward"),
        ([1.0, 0.5], {"at_least": 2.0}, "no reward is 2 or more (the greatest is 1)"),
        ([1.0, NAN], {"form": "pairs"}, "only one response has a reward"),
        ([1.0, 1.0], {"form": "pairs"}, "all rewards are the same"),
        ([1.0, 1.2], {"form": "pairs", "min_gap": 0.5}, "the best and the worst differ by 0.2, less than 0.5"),
    ],
)
def test_choices_by_hand(rewards, how, expected):
    assert select(rewards, Selecting(**how)) == expected


@pytest.mark.parametrize(
    "how", [{"form": "pairs", "keep": 2}, {"form": "pairs", "n": 1}, {"min_gap": 1.0}, {"form": "dpo"}, {"keep": 0}]
)
def test_what_makes_no_sense_is_refused(how):
    with pytest.raises(ValidationError):
        Selecting(**how)


def test_rows_have_the_form_of_their_prompt():
    chosen = Selected((1,), 0, 2, tied=False)
    pair = {"reward_chosen": 2.0, "reward_rejected": 1.0, "n": 2}
    assert rows_of("p", ["a", "b"], [1.0, 2.0], chosen) == [{"prompt": "p", "chosen": "b", "rejected": "a", **pair}]
    (row,) = rows_of(MESSAGES, ["a", "b"], [1.0, 2.0], Selected((1,), None, 2, tied=False))
    assert row["completion"] == [{"role": "assistant", "content": "b"}] and row["prompt"] == MESSAGES


def test_the_bound_on_the_kl():
    assert kl_upper_bound(1) == 0.0
    assert kl_upper_bound(4) == pytest.approx(0.636294, abs=1e-6)  # log 4 − 3/4
    # With rewards that are all different and answers that never repeat it is reached: the best of n has density
    # n F(x)^(n−1), so that the KL is the mean of log n + (n − 1) log U over U ~ Beta(n, 1).
    best = np.random.default_rng(0).beta(4, 1, size=200_000)
    assert np.mean(math.log(4) + 3 * np.log(best)) == pytest.approx(kl_upper_bound(4), abs=0.01)
    # A policy with two answers only, one of them better: 15/16 against 1/2.
    exact = 15 / 16 * math.log(15 / 8) + 1 / 16 * math.log(1 / 8)
    assert exact < kl_upper_bound(4)
