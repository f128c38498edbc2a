"""Members over one base: each is what it would be alone, and what they share is computed once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.reward_model import folder
from rewardkit.reward_model.backbone import FIRST
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.training import train

from .test_network import ASK, TEXTS, stirred
from .test_training import toy

SEQUENCES = [[5, 6, 7], [5, 6, 8, 9], [11, 12]]
TOLD = [(ASK, text) for text in TEXTS]


def create(tiny_folder, seed=3, **fields):
    fields = {"members": 3, "max_length": 120, **fields}
    return folder.create(TrainConfig(model=str(tiny_folder), **fields), seed=seed)


def test_members_differ_from_the_start(tiny_folder):
    rewards = create(tiny_folder).network(SEQUENCES)[..., 0]
    assert rewards.shape == (3, 3)
    assert (rewards.std(dim=0) > 0).all()


@pytest.mark.parametrize("fields", [{}, {"train_layers": 1}])
def test_a_member_is_what_it_would_be_alone(tiny_folder, fields):
    model = stirred(create(tiny_folder, **fields))
    together = model.network(SEQUENCES)
    for number, name in enumerate(model.network.members):
        alone = create(tiny_folder, members=1, **fields).network
        own = dict(model.network.named_parameters())
        with torch.no_grad():
            for key, weight in alone.named_parameters():
                if f".{FIRST}." in key:
                    weight.copy_(own[key.replace(f".{FIRST}.", f".{name}.")])
        torch.testing.assert_close(alone(SEQUENCES)[0], together[number], atol=1e-6, rtol=0)
        torch.testing.assert_close(model.network(SEQUENCES, number)[0], together[number], atol=1e-6, rtol=0)


@pytest.mark.parametrize("fields", [{}, {"train_layers": 1}])
def test_saved_and_loaded_give_equal_rewards(tiny_folder, tmp_path, fields):
    model = stirred(create(tiny_folder, **fields))
    folder.save(model, tmp_path)
    before, after = reward(model, TOLD), reward(folder.load(tmp_path), TOLD)
    assert before.members.shape == (len(TEXTS), 3) and (before.spread > 0).all()
    np.testing.assert_allclose(before.values, before.members.mean(axis=1))
    np.testing.assert_allclose(after.members, before.members, atol=1e-5)


def test_frozen_layers_run_once_for_all_members(tiny_folder, tmp_path):
    folder.save(create(tiny_folder, train_layers=1), tmp_path)
    model, ran = folder.load(tmp_path), []
    for number, layer in enumerate(model.network.classifier.base_model.layers):
        layer.mlp.register_forward_hook(lambda *_, number=number: ran.append(number))
    reward(model, TOLD)
    assert ran == [0, 1, 1, 1]


@pytest.mark.parametrize("fields", [{}, {"train_layers": 1}, {"checkpointing": True}])
def test_every_member_learns_what_it_would_alone(tiny_folder, tmp_path, fields):
    """The same batches in the same order; only what is drawn at the start differs between members."""
    asked = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "evaluations": 1, "max_grad_norm": 0.2, **fields}
    examples = toy(8, "train") + toy(4, "validation")
    model = create(tiny_folder, members=2, **asked)
    begun = {key: weight.detach().clone() for key, weight in model.network.named_parameters()}
    result = train(model, examples, model.card.config, folder=tmp_path / "both", seed=1)
    assert all(np.isfinite(row["loss"]) for row in result.history if "loss" in row)
    found = reward(model, TOLD).members
    for number, name in enumerate(model.network.members):
        alone = create(tiny_folder, members=1, **asked)
        with torch.no_grad():
            for key, weight in alone.network.named_parameters():
                if f".{FIRST}." in key:
                    weight.copy_(begun[key.replace(f".{FIRST}.", f".{name}.")])
        train(alone, examples, alone.card.config, folder=tmp_path / name, seed=1)
        np.testing.assert_allclose(reward(alone, TOLD).values, found[:, number], atol=2e-4)


def test_a_member_that_is_missing_is_one_clear_error(tiny_folder, tmp_path):
    folder.save(create(tiny_folder), tmp_path)
    (tmp_path / "member2" / folder.ADAPTERS).unlink()
    with pytest.raises(ModelError, match="adapters are missing"):
        folder.load(tmp_path)
