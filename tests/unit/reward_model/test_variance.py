"""A variance head: what people are apart about weighs less, and the model says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from rewardkit.config import TrainConfig
from rewardkit.jobs.scoring import score
from rewardkit.reward_model import folder
from rewardkit.reward_model.collation import Encoded, Group
from rewardkit.reward_model.losses import ChosenLoss, bradley_terry
from rewardkit.reward_model.objective import Objective, variances
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.training import train

from .test_network import ASK, TEXTS
from .test_training import toy


def settings(tiny_folder, **fields):
    return TrainConfig(model=str(tiny_folder), max_length=64, variance_head=True, **fields)


def test_the_loss_by_hand():
    group = Group.of([Encoded([1], [2], 0.8, 2.0, "u", doublings=1.5)])
    outputs = torch.tensor([[1.5, -0.3], [0.25, 2.0]])
    variance = sum(functional.softplus(torch.tensor([-0.3, 2.0])))
    # What length explains of labels is explained of labels as they are.
    margin = (1.5 - 0.25) / torch.sqrt(1 + torch.pi / 8 * variance) + 0.4 * 1.5
    expected = -2.0 * (0.8 * functional.logsigmoid(margin) + 0.2 * functional.logsigmoid(-margin))
    found = Objective(ChosenLoss(bradley_terry), length=0.4, variance=True)(outputs, group)
    torch.testing.assert_close(found, expected[None])


def test_a_probability_is_the_mean_over_the_margins_that_may_be():
    group = Group.of([Encoded([1], [2], 1.0, 1.0, "u")])
    outputs = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    spread = functional.softplus(outputs[:, 1]).sum().sqrt()
    drawn = torch.sigmoid(2.0 + spread * torch.randn(200_000, generator=torch.Generator().manual_seed(0))).mean()
    found = torch.exp(-Objective(ChosenLoss(bradley_terry), variance=True)(outputs, group))
    assert float(found) == pytest.approx(float(drawn), abs=0.01)


def test_where_people_are_apart_is_found_from_their_preferences():
    """Twelve texts, of which half are contested; each meets every other, and each pair's share of votes is known."""
    draws = torch.Generator().manual_seed(0)
    rewards, contested = 2 * torch.randn(12, generator=draws), torch.arange(12) % 2 == 1
    variance = torch.where(contested, 16.0, 0.1)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    scale = [(1 + torch.pi / 8 * (variance[i] + variance[j])).sqrt() for i, j in pairs]
    shares = [float(torch.sigmoid((rewards[i] - rewards[j]) / each)) for (i, j), each in zip(pairs, scale, strict=True)]
    group = Group.of([Encoded([i], [j], share, 1.0, "u") for (i, j), share in zip(pairs, shares, strict=True)])
    place = torch.tensor([ids[0] for ids in group.sequences]).argsort()
    outputs = torch.zeros(12, 2, requires_grad=True)
    optimizer, loss = torch.optim.Adam([outputs], lr=0.05), Objective(ChosenLoss(bradley_terry), variance=True)
    for _ in range(1500):
        optimizer.zero_grad()
        loss(outputs, group).mean().backward()
        optimizer.step()
    found = variances(outputs.detach())[place]
    assert found[contested].min() > 3 * found[~contested].max()


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
    rows = [{"prompt": "p", "response": "yes"}, {"response_a": "yes", "response_b": "no"}, {"responses": ["yes"]}]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    one, pair, many = score(tmp_path / "m", str(asked))
    assert one["noise"] > 0 and pair["noise_a"] > 0 < pair["noise_b"] and many["noises"][0] == pair["noise_a"]


def test_what_cannot_be_read_has_none_and_a_model_without_a_head_knows_of_none(tiny_folder):
    told = [(ASK, "No."), (ASK, "x" * 190)]
    fields = {"model": str(tiny_folder), "max_length": 100, "too_long": "drop"}
    found = reward(folder.create(TrainConfig(**fields, variance_head=True), seed=0), told)
    assert np.isnan(found.noise).tolist() == found.dropped.tolist() == [False, True]
    assert reward(folder.create(TrainConfig(**fields), seed=0), told).noise is None
