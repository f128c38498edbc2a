"""What is frozen stays frozen, and what is kept of it fits."""

from __future__ import annotations

import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.reward_model import folder
from rewardkit.reward_model.trunk import Trunk

ONE, OTHER = [5, 6, 7], [5, 6, 8, 9]


def create(tiny_folder, **fields):
    return folder.create(TrainConfig(model=str(tiny_folder), max_length=60, **fields), seed=0)


@pytest.mark.parametrize(
    ("modules", "learn"), [("all-linear", 7), (("q_proj", "v_proj"), 2), (r".*mlp\.up_proj", 1), (("mlp.up_proj",), 1)]
)
def test_only_the_last_layers_learn(tiny_folder, modules, learn):
    model = create(tiny_folder, train_layers=1, lora={"target_modules": modules})
    names = [name for name, each in model.network.named_parameters() if each.requires_grad and "lora_A" in name]
    assert len(names) == learn and all(".layers.1." in name for name in names)


def test_what_loads_elsewhere_is_what_was_trained(tiny_folder, tmp_path):
    model = create(tiny_folder, train_layers=1)
    folder.save(model, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            folder.load(tmp_path).network.rewards([ONE, OTHER]), model.network.eval().rewards([ONE, OTHER])
        )


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"train_layers": 3}, "the last 3 layers"),
        ({"train_layers": 1, "lora": {"target_modules": ("nothing",)}}, "no layer of this name"),
    ],
)
def test_layers_that_are_not_there_are_refused(tiny_folder, fields, what):
    with pytest.raises(ModelError, match=what):
        create(tiny_folder, **fields)


def test_no_more_is_kept_than_fits(tiny_folder, capsys):
    network = create(tiny_folder, train_layers=1).network
    layers, ran = network.classifier.base_model.layers, []
    layers[0].mlp.register_forward_hook(lambda *_: ran.append(1))
    # 32 numbers of four bytes a token.
    network._trunk = Trunk(layers[:1], most=4 * 32 * len(ONE))
    for _ in range(2):
        network.rewards([ONE])
    assert len(ran) == 1 and not capsys.readouterr().err
    for _ in range(2):
        network.rewards([OTHER])
    assert len(ran) == 3 and capsys.readouterr().err.count("of 1 texts is kept") == 1
    network.rewards([ONE])
    assert len(ran) == 3


def test_what_no_gradient_can_follow_is_not_kept(tiny_folder):
    network = create(tiny_folder, train_layers=1).network
    with torch.inference_mode():
        network.rewards([ONE])
    assert not network._trunk._kept
    network.rewards([ONE]).sum().backward()
    assert list(network._trunk._kept) == [tuple(ONE)]


def test_nothing_drops_out_of_what_is_kept(tiny_folder):
    network = create(tiny_folder, train_layers=1).network
    below, above = network.classifier.base_model.layers
    network.train()
    assert above.training and not any(module.training for module in below.modules())
