"""A variance head: what people are apart about weighs less, and the model says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from rewardkit.config import TrainConfig
from rewardkit.reward_model import folder
from rewardkit.reward_model.collation import Encoded, Group
from rewardkit.reward_model.losses import ChosenLoss, bradley_terry
from rewardkit.reward_model.objective import Objective
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.training import train

from .test_network import ASK, TEXTS
from .test_training import toy


def settings(tiny_folder, **fields):
    return TrainConfig(model=str(tiny_folder), max_length=64, variance_head=True, **fields)


def test_the_loss_by_hand():
    group = Group.of([Encoded([1], [2], 0.8, 2.0, "u")])
    outputs = torch.tensor([[1.5, -0.3], [0.25, 2.0]])
    variance = sum(functional.softplus(torch.tensor([-0.3, 2.0])))
    margin = (1.5 - 0.25 + 0.5 * 0.0) / torch.sqrt(1 + torch.pi / 8 * variance)
    expected = -2.0 * (0.8 * functional.logsigmoid(margin) + 0.2 * functional.logsigmoid(-margin))
    found = Objective(ChosenLoss(bradley_terry), variance=True)(outputs, group)
    torch.testing.assert_close(found, expected[None])


def test_a_probability_is_the_mean_over_the_margins_that_may_be():
    group = Group.of([Encoded([1], [2], 1.0, 1.0, "u")])
    outputs = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    spread = functional.softplus(outputs[:, 1]).sum().sqrt()
    drawn = torch.sigmoid(2.0 + spread * torch.randn(200_000, generator=torch.Generator().manual_seed(0))).mean()
    found = torch.exp(-Objective(ChosenLoss(bradley_terry), variance=True)(outputs, group))
    assert float(found) == pytest.approx(float(drawn), abs=0.01)


def test_it_is_learned_told_and_kept(tiny_folder, tmp_path):
    model = folder.create(settings(tiny_folder, epochs=4, batch_size=4, learning_rate=2e-2, evaluations=1), seed=0)
    before = reward(model, [(ASK, text) for text in TEXTS]).noise
    examples = [*toy(12, "train"), *toy(4, "validation")]
    train(model, examples, model.card.config, folder=tmp_path / "t", seed=0)
    found = reward(model, [(ASK, text) for text in TEXTS])
    assert (found.noise > 0).all() and np.abs(found.noise - before).max() > 0.01
    folder.save(model, tmp_path / "m")
    again = reward(folder.load(tmp_path / "m"), [(ASK, text) for text in TEXTS])
    np.testing.assert_allclose(again.noise, found.noise, atol=1e-5)
    np.testing.assert_allclose(again.values, found.values, atol=1e-5)


def test_a_model_without_one_knows_of_no_noise(tiny_folder):
    model = folder.create(TrainConfig(model=str(tiny_folder), max_length=20, too_long="drop"), seed=0)
    found = reward(model, [(ASK, "No."), (ASK, "x" * 90)])
    dropped = found.dropped.tolist()
    assert np.isnan(found.noise).tolist() == dropped and True in dropped
