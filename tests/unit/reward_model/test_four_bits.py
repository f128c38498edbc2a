"""A base in four bits: what it says, what it teaches, and what becomes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit import hardware
from rewardkit.config import TrainConfig
from rewardkit.reward_model import folder, merging
from rewardkit.reward_model.scoring import reward

from .test_network import ASK, TEXTS, stirred

TOLD = [(ASK, text) for text in TEXTS]


@pytest.fixture
def saved(tiny_folder, tmp_path):
    model = stirred(folder.create(TrainConfig(model=str(tiny_folder), max_length=200, dtype="nf4"), seed=1))
    folder.save(model, tmp_path / "model")
    return model, tmp_path / "model"


def gradients(model):
    """Return the gradients of adapters and head, after the model was asked without learning."""
    ids = [model.renderer.render(*each).ids for each in TOLD]
    with torch.inference_mode():
        model.network.eval()(ids)
    model.network.train().let_all_learn()
    model.network(ids)[0, :, 0].diff().sum().backward()
    return {name: each.grad for name, each in model.network.named_parameters() if each.grad is not None}


def test_the_base_alone_is_in_four_bits(saved):
    import bitsandbytes

    model, path = saved
    layers = model.network.classifier.base_model.layers
    kinds = {type(getattr(each.self_attn.q_proj, "base_layer", None)) for each in layers}
    assert kinds == {bitsandbytes.nn.Linear4bit} and model.card.config.dtype == "nf4"
    assert {each.dtype for member in model.network.learned() for each in member} == {torch.float32}
    # What a folder says of loading without rewardkit.
    assert '"bnb_4bit_quant_type": "nf4"' in (path / "README.md").read_text()


def test_rewards_and_gradients_are_those_of_the_weights_that_four_bits_stand_for(saved):
    model, path = saved
    exact = folder.load(path, exact=True)
    np.testing.assert_allclose(reward(model, TOLD).values, reward(exact, TOLD).values, atol=0.05)
    found, expected = gradients(model), gradients(exact)
    assert found.keys() == expected.keys() and len(found) > 20
    for name, gradient in expected.items():
        if gradient.norm() > 1e-6:
            alike = torch.nn.functional.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0)
            assert alike > 0.97, name


def test_it_loads_as_it_was_and_merges_into_the_same_weights(saved, tmp_path):
    model, path = saved
    np.testing.assert_array_equal(reward(folder.load(path), TOLD).values, reward(model, TOLD).values)
    merged = merging.merge(path, tmp_path / "plain")
    assert merged.apart <= 1e-4


def test_the_weights_are_the_same_on_a_machine_that_computes_otherwise(saved, monkeypatch):
    model, path = saved
    before = reward(folder.load(path, exact=True), TOLD).values
    other = "float32" if hardware.best_dtype() == "bfloat16" else "bfloat16"
    monkeypatch.setattr(hardware, "best_dtype", lambda: other)
    np.testing.assert_array_equal(reward(folder.load(path), TOLD).values, reward(model, TOLD).values)
    np.testing.assert_array_equal(reward(folder.load(path, exact=True), TOLD).values, before)
