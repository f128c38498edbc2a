from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.errors import ConfigError
from rewardkit.reward_model.losses import LOSSES, bradley_terry, loss_of


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


def columns(count=200):
    generator = torch.Generator().manual_seed(0)
    a, b, p = (torch.randn(count, generator=generator, dtype=torch.float64) for _ in range(3))
    return a, b, p.sigmoid(), torch.ones(count, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "off"), [("label_smoothing", {"rate": 0}), ("robust", {"rate": 0}), ("margin", {"size": 0})]
)
def test_a_loss_whose_option_is_zero_is_bradley_terry(name, off):
    torch.testing.assert_close(loss_of(name, off)(*columns()), bradley_terry(*columns()))


def test_a_robust_loss_of_flipped_labels_is_on_average_that_of_true_ones():
    a, b, p, w = columns()
    robust = loss_of("robust", {"rate": 0.2})
    torch.testing.assert_close(0.8 * robust(a, b, p, w) + 0.2 * robust(a, b, 1 - p, w), bradley_terry(a, b, p, w))


def test_a_margin_and_smoothing_by_hand():
    a, b, sure, one = (torch.tensor([each]).double() for each in (1.5, 0.0, 1.0, 1.0))
    assert loss_of("margin", {"size": 0.5})(a, b, sure, one).item() == pytest.approx(math.log1p(math.exp(-1.0)))
    expected = 0.9 * math.log1p(math.exp(-1.5)) + 0.1 * math.log1p(math.exp(1.5))
    assert loss_of("label_smoothing", {})(a, b, sure, one).item() == pytest.approx(expected)


def three_ways(name, margin, **options):
    """Return P(A), P(B) and P(tie): what the loss charges where each is certain."""
    m = torch.tensor([margin]).double()
    sides = ((1.0, 0.0), (0.0, 0.0), (0.5, 1.0))
    loss = loss_of(name, options)
    charged = [loss(m, 0 * m, *(torch.tensor([each]).double() for each in (p_a, 1.0, tie))) for p_a, tie in sides]
    return [math.exp(-each.item()) for each in charged]


def test_ties_by_hand():
    # Davidson with margin ln 4 and ν = 3: 2 : 1/2 : 3. Rao–Kupper with margin ln 4 and θ = 2: 4/6, 1/9, 3 · 4/6 · 1/9.
    assert three_ways("davidson", math.log(4.0), nu=3.0) == pytest.approx([2 / 5.5, 0.5 / 5.5, 3 / 5.5])
    assert three_ways("rao_kupper", math.log(4.0), theta=2.0) == pytest.approx([2 / 3, 1 / 9, 2 / 9])


@settings(deadline=None)
@given(st.sampled_from(["davidson", "rao_kupper"]), st.floats(-20, 20), st.floats(0.1, 5))
def test_the_three_ways_are_all_there_are(name, margin, size):
    option = {"nu": size} if name == "davidson" else {"theta": 1.0 + size}
    assert sum(three_ways(name, margin, **option)) == pytest.approx(1.0)


def test_more_ties_than_p_a_allows_are_as_many_as_it_allows():
    a, b, one = (torch.tensor([each]).double() for each in (1.0, 0.0, 1.0))
    loss, p_a = loss_of("davidson", {}), torch.tensor([0.9]).double()
    torch.testing.assert_close(loss(a, b, p_a, one, one), loss(a, b, p_a, one, 0.2 * one))


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("bradley_terry", {"rate": 0.1}, "has no option 'rate'"),
        ("margin", {"sise": 1.0}, "did you mean 'size'"),
        ("robust", {"rate": 0.5}, "from 0 to below 0.5"),
        ("davidson", {"nu": 0.0}, "nu is 0"),
        ("davidson", {"p_tie": 0.1}, "has no option 'p_tie'"),
        ("rao_kupper", {"theta": 1.0}, "theta - 1 is 0"),
        ("plain", {}, "unknown name 'plain'"),
    ],
)
def test_options_that_a_loss_does_not_take_are_refused(name, options, what):
    with pytest.raises(ConfigError, match=what):
        loss_of(name, options)
    assert name == "plain" or name in LOSSES
