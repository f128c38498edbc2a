"""The trainer on a tiny random model: it learns a separable toy, keeps the best step, and resumes."""

from __future__ import annotations

import numpy as np
import pytest

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
    assert min(losses) < 0.3 < losses[0] + 0.3
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


def test_nothing_to_train_on_is_one_clear_error(settings, tmp_path):
    model = folder.create(settings, seed=0)
    with pytest.raises(DataError, match="'train'"):
        train(model, toy(4, "validation"), settings, folder=tmp_path, seed=0)
    with pytest.raises(DataError, match="'validation'"):
        train(model, toy(4, "train"), settings, folder=tmp_path, seed=0)
