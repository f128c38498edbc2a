"""The trainer on a tiny random model: it learns a separable toy, keeps the best step, and resumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import DataError
from rewardkit.reward_model import folder
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.training import train

from .test_collation import example


def toy(count, split):
    """Good responses say yes; nothing else tells the two apart."""
    return [
        example(f"yes {i}", f"no {i}", 0.95, unit=f"{split}{i}", split=split)
        if i % 2
        else example(f"no {i}", f"yes {i}", 0.05, unit=f"{split}{i}", split=split)
        for i in range(count)
    ]


@pytest.fixture
def settings(tiny_folder):
    return TrainConfig(model=str(tiny_folder), max_length=64, epochs=6, batch_size=4, learning_rate=2e-2, evaluations=3)


def test_it_learns_and_tells_what_it_did(settings, tmp_path):
    examples = toy(16, "train") + toy(8, "validation")
    model = folder.create(settings, seed=0)
    result = train(model, examples, settings, folder=tmp_path, seed=0)
    assert (result.n_train, result.n_validation, result.dropped) == (16, 8, 0)
    losses = [row["validation_loss"] for row in result.history if "validation_loss" in row]
    assert min(losses) < 0.3
    best = min(losses)
    assert [row["step"] for row in result.history if row.get("validation_loss") == best][0] == result.best_step
    assert [row["step"] for row in result.history if "loss" in row] == list(range(1, 25))
    yes, no = (reward(model, [((), f"{word} {i}") for i in range(100, 110)]).values for word in ("yes", "no"))
    assert (yes > no).all()


def test_the_same_seed_gives_the_same_model(settings, tmp_path):
    examples = toy(8, "train") + toy(4, "validation")
    found = []
    for name in ("one", "two"):
        model = folder.create(settings, seed=5)
        result = train(model, examples, settings, folder=tmp_path / name, seed=5)
        found.append(([row.get("loss") for row in result.history], reward(model, [((), "yes 1")]).values))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_best_step_is_kept_and_not_the_last(settings, tmp_path):
    wild = settings.model_copy(update={"learning_rate": 0.5, "scheduler": "constant", "epochs": 3, "evaluations": 6})
    examples = toy(16, "train") + toy(7, "validation")
    model = folder.create(wild, seed=1)
    result = train(model, examples, wild, folder=tmp_path, seed=1)
    losses = {row["step"]: row["validation_loss"] for row in result.history if "validation_loss" in row}
    assert result.best_step == min(losses, key=losses.get) != max(losses)
    held_out = toy(7, "validation")
    margins = [float(np.subtract(*reward(model, [((), e.response_a), ((), e.response_b)]).values)) for e in held_out]
    targets = np.array([e.preference.p_a for e in held_out])
    loss = np.logaddexp(0, -np.array(margins)) * targets + np.logaddexp(0, margins) * (1 - targets)
    assert loss.mean() == pytest.approx(losses[result.best_step], rel=1e-4)


def test_what_weighs_nothing_does_not_use_up_the_limit(settings, tmp_path):
    few = settings.model_copy(update={"max_examples": 6, "epochs": 1})
    weightless = [
        e.model_copy(update={"preference": e.preference.model_copy(update={"sample_weight": 0.0, "unit": f"a{i}"})})
        for i, e in enumerate(toy(10, "train"))
    ]
    model = folder.create(few, seed=0)
    result = train(model, weightless + toy(8, "train") + toy(4, "validation"), few, folder=tmp_path, seed=0)
    assert (result.n_train, result.dropped) == (6, 0)


def test_centring_draws_rewards_to_a_mean_of_zero(settings, tmp_path):
    found = {}
    for centring in (0.0, 0.1):
        centred = settings.model_copy(update={"centring": centring})
        model = folder.create(centred, seed=0)
        with torch.no_grad():
            model.network.classifier.score.weight.add_(0.5)
        train(model, toy(16, "train") + toy(8, "validation"), centred, folder=tmp_path / str(centring), seed=0)
        values = reward(model, [((), f"{word} {i}") for word in ("yes", "no") for i in range(8)]).values
        found[centring] = abs(values.mean())
        assert values[:8].min() > values[8:].max()
    assert found[0.1] < 0.5 * found[0.0]


def test_nothing_to_train_on_is_one_clear_error(settings, tmp_path):
    model = folder.create(settings, seed=0)
    with pytest.raises(DataError, match="'train'"):
        train(model, toy(4, "validation"), settings, folder=tmp_path, seed=0)
    with pytest.raises(DataError, match="'validation'"):
        train(model, toy(4, "train"), settings, folder=tmp_path, seed=0)
