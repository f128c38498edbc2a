"""Equalities that must hold whatever the weights: pooling, batching, saving, merging, plain loading."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.reward_model import folder
from rewardkit.reward_model.backbone import load_tokenizer
from rewardkit.reward_model.scoring import reward
from rewardkit.types import Message

from .conftest import make_tokenizer

ASK = (Message(role="user", content="Tell me a joke."),)
TEXTS = ["No.", "A man walks into a bar. Ouch.", "x" * 90, "Why did the snail cross the road? It has not yet."]


def config(tiny_folder, **fields):
    return TrainConfig(model=str(tiny_folder), max_length=200, **fields)


def stirred(model):
    """Give adapters something to do; fresh ones do nothing."""
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return model


@pytest.fixture
def trained(tiny_folder):
    return stirred(folder.create(config(tiny_folder), seed=1))


def rewards(model, texts=TEXTS, **fields):
    return reward(model, [(ASK, text) for text in texts], **fields).values


def test_a_batch_of_one_equals_a_batch_of_many(trained):
    alone = np.concatenate([rewards(trained, [text]) for text in TEXTS])
    np.testing.assert_allclose(rewards(trained), alone, atol=1e-5)
    np.testing.assert_allclose(rewards(trained, batch_tokens=1), alone, atol=1e-5)


def test_the_reward_is_read_at_the_last_token_even_where_a_pad_id_stands_before_it(trained):
    ids = trained.renderer.render(ASK, TEXTS[1]).ids
    busy = [*ids[:-3], trained.tokenizer.pad_token_id, trained.tokenizer.pad_token_id, ids[-1]]
    with torch.inference_mode():
        hidden = trained.network.classifier.model(torch.tensor([busy])).last_hidden_state
        expected = trained.network.classifier.score(hidden[0, -1])
        torch.testing.assert_close(trained.network.rewards([busy]), expected, atol=1e-5, rtol=0)


def test_saved_and_loaded_give_equal_rewards(trained, tmp_path):
    before = rewards(trained)
    folder.save(trained, tmp_path / "m")
    loaded = folder.load(tmp_path / "m")
    np.testing.assert_allclose(rewards(loaded), before, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "variant"),
    [("float32", "lora"), ("bfloat16", "lora"), ("float32", "rslora"), ("float32", "dora")],
)
def test_plain_transformers_and_peft_load_the_folder_as_its_readme_says(tiny_folder, tmp_path, padded, dtype, variant):
    trained = stirred(folder.create(config(tiny_folder, dtype=dtype, lora={"variant": variant}), seed=1))
    folder.save(trained, tmp_path)
    block = (tmp_path / "README.md").read_text().split("```python")[1].split("```")[0]
    made = {}
    exec(block.replace("THIS_FOLDER", str(tmp_path)), made)
    ids, mask = padded([trained.renderer.render(ASK, text).ids for text in TEXTS], made["tokenizer"].pad_token_id)
    with torch.inference_mode():
        plain = made["model"](input_ids=ids, attention_mask=mask).logits[:, 0]
    # In bfloat16 both round, each in its way.
    np.testing.assert_allclose(plain.numpy(), rewards(trained), atol=1e-5 if dtype == "float32" else 0.05)


@pytest.mark.parametrize("fields", [{}, {"train_layers": 1}])
def test_layers_that_are_computed_once_more_give_the_same_gradients(tiny_folder, fields):
    slopes, runs = [], []
    for again in (False, True):
        model, ran = stirred(folder.create(config(tiny_folder, checkpointing=again, **fields), seed=1)), []
        model.network.classifier.model.layers[1].input_layernorm.register_forward_hook(
            lambda *_, ran=ran: ran.append(1)
        )
        ids = [model.renderer.render(ASK, text).ids for text in TEXTS]
        model.network.train()(ids).sum().backward()
        slopes.append([each.grad for each in model.network.parameters() if each.requires_grad])
        runs.append(len(ran))
    assert runs == [1, 2]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_variants_of_lora_are_not_one_another(tiny_folder):
    found = [
        stirred(folder.create(config(tiny_folder, lora={"variant": v}), seed=1)) for v in ("lora", "rslora", "dora")
    ]
    one, other, third = map(rewards, found)
    assert abs(one - other).max() > 1e-3 < abs(one - third).max()


@pytest.mark.parametrize("variant", ["lora", "dora"])
def test_what_dropout_drops_is_drawn_in_training_only(tiny_folder, variant):
    model = stirred(folder.create(config(tiny_folder, lora={"dropout": 0.5, "variant": variant}), seed=1))
    ids = [model.renderer.render(ASK, text).ids for text in TEXTS]
    one, other = (model.network.train()(ids).detach() for _ in range(2))
    assert (one - other).abs().max() > 1e-4
    plain = stirred(folder.create(config(tiny_folder, lora={"variant": variant}), seed=1))
    plain.network.load_state_dict(model.network.state_dict())
    np.testing.assert_allclose(rewards(model), rewards(plain), atol=1e-6)


def test_another_base_than_in_training_is_refused(trained, tmp_path, tiny_folder):
    import shutil

    base = shutil.copytree(tiny_folder, tmp_path / "base")
    trained.card = trained.card.model_copy(update={"base": str(base)})
    folder.save(trained, tmp_path / "m")
    folder.load(tmp_path / "m")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError, match="not the one that it was trained on"):
        folder.load(tmp_path / "m")


def test_the_head_is_float32_over_a_bfloat16_base(tiny_folder):
    model = folder.create(config(tiny_folder, dtype="bfloat16"), seed=0)
    assert model.network.classifier.model.embed_tokens.weight.dtype == torch.bfloat16
    head = [p for n, p in model.network.named_parameters() if "score" in n and p.requires_grad]
    assert [p.dtype for p in head] == [torch.float32]
    trainable = {n for n, p in model.network.named_parameters() if p.requires_grad}
    assert all("lora_" in n or "score" in n for n in trainable)


def test_another_template_than_in_training_is_refused(trained, tmp_path):
    folder.save(trained, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(ModelError, match="rendered"):
        folder.load(tmp_path)


def test_a_folder_that_is_no_reward_model_is_refused(tiny_folder):
    with pytest.raises(ModelError, match=r"rewardkit\.json"):
        folder.load(tiny_folder)


def test_a_context_shorter_than_max_length_is_refused(tiny_folder):
    with pytest.raises(ModelError, match="at most 256"):
        folder.create(TrainConfig(model=str(tiny_folder), max_length=257), seed=0)


def test_without_a_pad_token_the_error_names_the_candidates(tmp_path):
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"train\.pad_token") as caught:
        load_tokenizer(tmp_path)
    assert "<|s|>" in caught.value.expected
    assert load_tokenizer(tmp_path, "<|s|>").pad_token == "<|s|>"
    with pytest.raises(ModelError, match="not in the vocabulary"):
        load_tokenizer(tmp_path, "<nothing>")


def test_a_pad_token_that_ends_turns_is_replaced_by_the_unknown_token(tmp_path):
    make_tokenizer(pad_token="<|e|>", unk_token="<|u|>").save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == "<|u|>"
