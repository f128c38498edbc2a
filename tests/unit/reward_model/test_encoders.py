"""An encoder as the base: it reads both ways, has no chat template, and a head of two parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import ConfigError, ModelError
from rewardkit.reward_model import folder, merging
from rewardkit.reward_model.rendering import Unrendered
from rewardkit.reward_model.scoring import reward
from rewardkit.reward_model.sharding import check_shardable
from rewardkit.reward_model.training import train
from rewardkit.types import Message

from .conftest import make_tokenizer
from .test_network import ASK, TEXTS, stirred
from .test_training import toy

TOLD = [(ASK, text) for text in TEXTS]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    from transformers import BertConfig, BertModel

    path = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    # Without a pooler, as bases for masked words come.
    BertModel(
        BertConfig(vocab_size=300, max_position_embeddings=256, **sizes), add_pooling_layer=False
    ).save_pretrained(path)
    tokenizer = make_tokenizer(pad_token="<|p|>", bos_token="<|c|>", cls_token="<|c|>", sep_token="<|t|>")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(path)
    return path


def create(encoder, **fields):
    return folder.create(TrainConfig(model=str(encoder), max_length=200, **fields), seed=1)


def test_a_conversation_is_its_parts_one_after_the_other(encoder):
    model = create(encoder)

    def shown(*conversation):
        return model.tokenizer.decode(model.renderer.render(*conversation).ids)

    assert shown(ASK, "No <|t|> way.") == "<|c|>Tell me a joke.<|t|>No <|t|> way.<|t|>"
    chat = (Message(role="system", content="Be kind."), *ASK)
    assert shown(chat, "No.") == "<|c|>system: Be kind.<|t|>user: Tell me a joke.<|t|>assistant: No.<|t|>"
    # What spells a control token in a text is not one.
    ids = model.renderer.render(ASK, "No <|t|> way.").ids
    assert ids.count(model.tokenizer.sep_token_id) == 2
    assert not isinstance(model.renderer.render(ASK, "x" * 300), Unrendered)


@pytest.mark.parametrize("fields", [{}, {"members": 2, "criteria": ("wit",)}])
def test_saved_loaded_merged_and_plainly_loaded_give_equal_rewards(encoder, tmp_path, fields):
    model = stirred(create(encoder, **fields))
    before = reward(model, TOLD)
    folder.save(model, tmp_path / "model")
    np.testing.assert_allclose(reward(folder.load(tmp_path / "model"), TOLD).members, before.members, atol=1e-6)
    block = (tmp_path / "model" / "README.md").read_text().split("```python")[1].split("```")[0]
    made = {}
    exec(block.replace("THIS_FOLDER", str(tmp_path / "model")), made)
    ids = [torch.tensor([model.renderer.render(*each).ids]) for each in TOLD]
    with torch.inference_mode():
        plain = [made["model"](input_ids=each).logits[0, 0].item() for each in ids]
    np.testing.assert_allclose(plain, before.members[:, 0], atol=1e-6)
    last = fields.get("members", 1)
    merging.merge(tmp_path / "model", tmp_path / "merged", member=last)
    from transformers import AutoModelForSequenceClassification

    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    with torch.inference_mode():
        found = [merged(input_ids=each).logits for each in ids]
    assert all(each.shape == (1, 1) for each in found)
    np.testing.assert_allclose([each.item() for each in found], before.members[:, last - 1], atol=1e-5)


def test_it_learns(encoder, tmp_path):
    settings = TrainConfig(model=str(encoder), max_length=64, epochs=8, batch_size=4, learning_rate=1e-2, evaluations=3)
    model = folder.create(settings, seed=0)
    train(model, toy(16, "train") + toy(8, "validation"), settings, folder=tmp_path, seed=0)
    yes, no = (reward(model, [((), f"{word} {i}") for i in range(100, 110)]).values for word in ("yes", "no"))
    assert (yes > no).all()


def test_the_last_layers_alone_are_for_models_that_have_a_list_of_them(encoder):
    with pytest.raises(ModelError, match="cannot be trained alone"):
        create(encoder, train_layers=1)


def test_an_encoder_cannot_be_in_parts(encoder):
    model = folder.create(TrainConfig(model=str(encoder), max_length=64), seed=0)
    with pytest.raises(ConfigError, match="has its layers elsewhere"):
        check_shardable(model.network, model.card.config)
