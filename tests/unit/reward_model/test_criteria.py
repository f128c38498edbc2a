"""Heads for criteria: what was rated is learned beside what was preferred."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import DataError
from rewardkit.reward_model import folder
from rewardkit.reward_model.collation import (
    Encoded,
    Group,
    GroupCollator,
    Rated,
    criterion_scales,
    encode_examples,
    in_spreads,
)
from rewardkit.reward_model.losses import ChosenLoss, bradley_terry
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.training import Objective, train
from rewardkit.types import SoftRating

from .test_training import toy

CRITERIA = ("wit", "form")


def rated(**values):
    return tuple(SoftRating(criterion=name, value=value, n_human=1) for name, value in values.items())


@pytest.fixture
def settings(tiny_folder):
    return TrainConfig(
        model=str(tiny_folder),
        max_length=64,
        epochs=12,
        batch_size=4,
        learning_rate=5e-3,
        evaluations=2,
        criteria=CRITERIA,
    )


def test_the_loss_by_hand():
    x, y, z = [1, 2], [1, 3], [4]
    items = [
        Encoded(x, y, 1.0, 1.0, "u", (Rated(x, 0, 1.0), Rated(y, 1, -1.0))),
        Encoded(y, z, 0.5, 2.0, "u"),
    ]
    group = Group.of(items)
    outputs = torch.tensor([[0.5, 3.0, 9.0], [0.0, 9.0, 1.0], [1.0, 9.0, 9.0]])
    plain = bradley_terry(torch.tensor([0.5, 0.0]), torch.tensor([0.0, 1.0]), group.p_a, group.sample_weight)
    # Errors of 2 and 2; the mean of their squares counts a half, and the second comparison has no rating.
    expected = plain + torch.tensor([0.5 * 4.0, 0.0])
    torch.testing.assert_close(Objective(ChosenLoss(bradley_terry), criteria=0.5)(outputs, group), expected)
    centred = expected + 0.1 * torch.tensor([0.25, 2.0])
    torch.testing.assert_close(
        Objective(ChosenLoss(bradley_terry), centring=0.1, criteria=0.5)(outputs, group), centred
    )


def test_scales_and_beginnings_by_hand(settings):
    model = folder.create(settings, seed=0)
    (example,) = toy(1, "train")
    part = SoftRating(criterion="wit", value=0.2, end=2, n_judge=1)
    example = example.model_copy(update={"ratings_a": (*rated(wit=0.6, other=0.1), part), "ratings_b": rated(form=0.5)})
    (item,) = encode_examples([example], model.renderer, CRITERIA).items
    start = model.renderer.render((), example.response_a[:2]).ids
    assert item.rated == (Rated(item.ids_a, 0, 0.6), Rated(start, 0, 0.2), Rated(item.ids_b, 1, 0.5))
    assert sorted(map(len, item.texts)) == sorted([len(item.ids_a), len(item.ids_b), len(start)])
    scales = criterion_scales([item, item], 2)
    assert scales == [(pytest.approx(0.4), pytest.approx(0.2)), (0.5, 1.0)]
    told = in_spreads([item], scales)[0].rated
    assert [each.value for each in told] == [pytest.approx(1.0), pytest.approx(-1.0), 0.0]
    (group,) = GroupCollator(1000)([item])["groups"]
    assert [group.sequences[row] for row in group.cells[0]] == [item.ids_a, start, item.ids_b]


def test_ratings_are_learned_and_told_on_their_scale(settings, tmp_path):
    """Yes is preferred, and rated low on wit; nobody rates it on form but once."""
    examples = []
    for example in toy(16, "train") + toy(8, "validation"):
        sides = [rated(wit=0.1 if text.startswith("yes") else 0.7) for text in (example.response_a, example.response_b)]
        examples.append(example.model_copy(update={"ratings_a": sides[0], "ratings_b": sides[1]}))
    examples[0] = examples[0].model_copy(update={"ratings_a": rated(wit=0.7, form=0.4)})
    model = folder.create(settings, seed=0)
    train(model, examples, settings, folder=tmp_path / "run", seed=0)
    told = [((), f"{word} {i}") for word in ("yes", "no") for i in range(100, 110)]
    found = reward(model, told)
    assert (found.values[:10] > found.values[10:]).all()
    np.testing.assert_allclose(found.criteria[:, 0], [0.1] * 10 + [0.7] * 10, atol=0.1)
    np.testing.assert_allclose(found.criteria[:, 1], 0.4, atol=0.2)
    folder.save(model, tmp_path / "model")
    again = reward(folder.load(tmp_path / "model"), told)
    np.testing.assert_allclose(again.criteria, found.criteria, atol=1e-6)
    np.testing.assert_allclose(again.values, found.values, atol=1e-5)


def test_a_criterion_that_nobody_rated_is_one_clear_error(settings, tmp_path):
    with pytest.raises(DataError, match="no response of the train split has a rating on 'wit'"):
        train(
            folder.create(settings, seed=0), toy(4, "train") + toy(2, "validation"), settings, folder=tmp_path, seed=0
        )


def test_a_length_term_is_added_to_margins_and_not_to_rewards_by_hand():
    group = Group.of([Encoded([1], [2], 0.8, 1.0, "u", doublings=2.0)])
    outputs = torch.tensor([[0.5], [0.1]])
    found = Objective(ChosenLoss(bradley_terry), length=0.3, centring=0.1)(outputs, group)
    plain = bradley_terry(torch.tensor([0.5 + 0.6]), torch.tensor([0.1]), group.p_a, group.sample_weight)
    torch.testing.assert_close(found, plain + 0.1 * 0.36)


def test_a_text_has_one_target_on_a_criterion_and_the_whole_comes_first(settings):
    model = folder.create(settings, seed=0)
    (example,) = toy(1, "train")
    end = len(example.response_a)
    judged = SoftRating(criterion="wit", value=0.4, end=end, n_judge=1)
    example = example.model_copy(update={"ratings_a": (judged, *rated(wit=0.95)), "ratings_b": (judged,)})
    (item,) = encode_examples([example], model.renderer, CRITERIA).items
    assert [(each.ids == item.ids_a, each.value) for each in item.rated] == [(True, 0.95), (False, 0.4)]
