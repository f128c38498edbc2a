"""What is merged answers alike, and nothing is written that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rewardkit.config import TrainConfig
from rewardkit.errors import ConfigError, ModelError, OutputError
from rewardkit.reward_model import folder, merging
from rewardkit.reward_model.scoring import reward

from .test_network import ASK, TEXTS, stirred

TOLD = [(ASK, text) for text in TEXTS]


@pytest.fixture
def saved(tiny_folder, tmp_path):
    def save(**fields):
        model = stirred(folder.create(TrainConfig(model=str(tiny_folder), max_length=200, **fields), seed=1))
        folder.save(model, tmp_path / "model")
        return model, tmp_path / "model"

    return save


def plainly(path, model):
    """Return the rewards that plain transformers computes, and the merged model's config."""
    import torch
    from transformers import AutoModelForSequenceClassification

    plain = AutoModelForSequenceClassification.from_pretrained(path)
    with torch.inference_mode():
        ids = [torch.tensor([model.renderer.render(*each).ids]) for each in TOLD]
        return [plain(input_ids=each).logits.item() for each in ids], plain.config


@pytest.mark.parametrize("fields", [{}, {"lora": {"variant": "dora"}}, {"train_layers": 1}])
def test_plain_transformers_give_the_same_rewards(saved, tmp_path, fields):
    model, source = saved(**fields)
    found = merging.merge(source, tmp_path / "plain")
    values, config = plainly(found.path, model)
    np.testing.assert_allclose(values, reward(model, TOLD).values, atol=1e-5)
    assert (config.num_labels, config.problem_type, config.id2label) == (1, "regression", {0: "reward"})
    assert config.pad_token_id == model.tokenizer.pad_token_id
    assert not list(found.path.glob("adapter*")) and found.apart <= 1e-5


def test_a_member_of_an_ensemble_and_no_criterion(saved, tmp_path):
    model, source = saved(members=2, criteria=("wit",))
    with pytest.raises(ConfigError, match="the model has 2 members"):
        merging.merge(source, tmp_path / "plain")
    found = merging.merge(source, tmp_path / "plain", member=2)
    values, config = plainly(found.path, model)
    np.testing.assert_allclose(values, reward(model, TOLD).members[:, 1], atol=1e-5)
    assert config.num_labels == 1


def test_nothing_is_replaced(saved, tmp_path):
    _, source = saved()
    with pytest.raises(OutputError, match="something already"):
        merging.merge(source, source)


def test_what_would_give_other_rewards_is_not_left_behind(saved, tmp_path, monkeypatch):
    _, source = saved()
    real = merging._first_output

    def off(head):
        found = real(head)
        found.weight.data *= 1.5
        return found

    monkeypatch.setattr(merging, "_first_output", off)
    with pytest.raises(ModelError, match="give other rewards"):
        merging.merge(source, tmp_path / "plain")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_place_in_use_is_refused(saved, tmp_path, monkeypatch):
    _, source = saved()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", source / "merged"):
        with pytest.raises(OutputError, match="in use"):
            merging.merge(source, Path(place))


def test_the_command(saved, tmp_path, rewardkit):
    _, source = saved()
    ended = rewardkit("merge", source, tmp_path / "plain")
    assert ended.code == 0 and str(tmp_path / "plain") in ended.out
    again = rewardkit("merge", source, tmp_path / "plain")
    assert again.code == 2 and "name a new folder" in again.err
