"""Every family of models: rewards and gradients of rows without padding equal those of a plain padded forward pass."""

from __future__ import annotations

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from rewardkit.reward_model.backbone import RewardNetwork
from rewardkit.reward_model.heads import head_of

VOCABULARY, PAD = 120, 119
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "num_labels": 1,
}
FAMILIES = {
    "Llama": {},
    "Mistral": {"sliding_window": None},
    "Qwen2": {},
    "Qwen3": {},
    "Gemma": {},
    "Gemma2": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "Gemma3Text": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "Bert": {},
    "ModernBert": {"bos_token_id": 0, "eos_token_id": 1, "cls_token_id": 0, "sep_token_id": 1},
}
WHOLE = {"Gemma2", "Bert", "ModernBert"}
"""Families that attend in a way of their own, or in both directions, and are read in padded rows."""
ASKED = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38]
SEQUENCES = [
    [*ASKED, 46, 26, 43],
    [*ASKED, 46, 26, 43, 38, 32, 79, 50, 28, 84],
    [*ASKED[:6], 19, 71],
    [88, 41, 97, 16, 93, 99, 37, 51],
    ASKED,
]


def plain_model(family, modules="all-linear"):
    """Build a tiny random model with adapters that already do something."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **FAMILIES[family]})
    name = {"Gemma3Text": "Gemma3TextForSequenceClassification"}.get(family, f"{family}ForSequenceClassification")
    model = getattr(transformers, name)(config).eval()
    whole = head_of(model).saved()
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=4, target_modules=modules, modules_to_save=whole))
    with torch.no_grad():
        for each, weight in adapted.named_parameters():
            if "lora_B" in each:
                weight.normal_(std=0.1)
    return adapted


def padded_rewards(model, sequences, pad):
    """Return rewards as others compute them: a row for each sequence, padded on the right."""
    ids, mask = pad(sequences, PAD)
    return model(input_ids=ids, attention_mask=mask).logits[:, 0]


def gradients(model, rewards):
    """Return the gradients of something that depends on every reward differently."""
    weights = {name: each for name, each in model.named_parameters() if each.requires_grad}
    found = torch.autograd.grad((rewards * torch.arange(1, len(rewards) + 1)).sum(), list(weights.values()))
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_rewards_and_gradients_are_those_of_padded_rows(family, padded):
    plain = plain_model(family)
    expected = padded_rewards(plain, SEQUENCES, padded)
    slopes = gradients(plain, expected)
    assert min(float(each.abs().max()) for each in slopes.values()) > 1e-4
    network = RewardNetwork(plain_model(family))
    assert (network._packable.longest > max(map(len, SEQUENCES))) == (family not in WHOLE)
    rewards = network.rewards(SEQUENCES)
    torch.testing.assert_close(rewards, expected, atol=1e-5, rtol=1e-5)
    found = gradients(network.model, rewards)
    for name, each in slopes.items():
        torch.testing.assert_close(found[name], each, atol=1e-5, rtol=1e-4, msg=lambda said, at=name: f"{at}: {said}")


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - WHOLE))
def test_frozen_layers_are_run_once_and_nothing_else_changes(family, padded):
    upper = r".*layers\.1\..*_proj"
    plain = plain_model(family, upper)
    expected = padded_rewards(plain, SEQUENCES, padded)
    slopes = gradients(plain, expected)
    network, ran = RewardNetwork(plain_model(family, upper), frozen=1), []
    network.classifier.base_model.layers[0].mlp.register_forward_hook(lambda *_: ran.append(1))
    # Rows of texts that stood in another row are not run again; one that is new is.
    for sequences, runs in ((SEQUENCES, 1), (SEQUENCES, 1), (SEQUENCES[1:4], 1), ([*SEQUENCES[:2], [1, 2, 3]], 2)):
        rewards = network.rewards(sequences)
        assert len(ran) == runs
        known = [SEQUENCES.index(each) for each in sequences if each in SEQUENCES]
        torch.testing.assert_close(rewards[: len(known)], expected[known], atol=1e-5, rtol=1e-5)
    found = gradients(network.model, network.rewards(SEQUENCES))
    for name, each in slopes.items():
        torch.testing.assert_close(found[name], each, atol=1e-5, rtol=1e-4, msg=lambda said, at=name: f"{at}: {said}")
