from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.config import TrainConfig
from rewardkit.reward_model import folder
from rewardkit.reward_model.collation import Encoded, PairCollator, UnitSampler, encode_examples, pad, unit_mean_weights
from rewardkit.reward_model.losses import bradley_terry
from rewardkit.types import PreferenceExample, SoftPreference


def example(a, b, p_a=0.8, weight=1.0, unit="u", split="train"):
    preference = SoftPreference(
        comparison_id=f"{a}-{b}", p_a=p_a, sample_weight=weight, method="test", split=split, unit=unit
    )
    return PreferenceExample(preference=preference, prompt=(), response_a=a, response_b=b)


def test_each_text_of_a_batch_is_one_row():
    x, y, z = [1, 2, 3], [4, 5], [6]
    items = [Encoded(x, y, 1.0, 1.0, "u"), Encoded(z, x, 0.25, 2.0, "u"), Encoded(y, z, 0.5, 1.0, "u")]
    batch = PairCollator(pad_id=0)(items)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 5, 0], [6, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert batch["row_a"].tolist() == [0, 2, 1]
    assert batch["row_b"].tolist() == [1, 0, 2]
    assert batch["p_a"].tolist() == [1.0, 0.25, 0.5]


def test_loss_and_gradients_equal_those_of_padded_pairs(tiny_folder):
    """The oracle is what others do: A above B, every comparison with rows of its own."""
    model = folder.create(TrainConfig(model=str(tiny_folder), max_length=200), seed=3)
    texts = ["one", "another one", "a third, which is longer", "four"]
    pairs, targets = [(0, 1), (1, 2), (3, 0), (2, 3)], [0.9, 0.4, 0.5, 0.0]
    examples = [example(texts[a], texts[b], p) for (a, b), p in zip(pairs, targets, strict=True)]
    encoded = encode_examples(examples, model.renderer).items
    batch = PairCollator(model.tokenizer.pad_token_id)(encoded)
    rewards = model.network(batch["input_ids"], batch["attention_mask"])
    ours = bradley_terry(rewards[batch["row_a"]], rewards[batch["row_b"]], batch["p_a"], batch["sample_weight"]).mean()
    ids, mask = pad([e.ids_a for e in encoded] + [e.ids_b for e in encoded], model.tokenizer.pad_token_id)
    reward_a, reward_b = model.network(ids, mask).chunk(2)
    theirs = bradley_terry(reward_a, reward_b, batch["p_a"], batch["sample_weight"]).mean()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    weights = [p for p in model.network.parameters() if p.requires_grad]
    for mine, yours in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        torch.testing.assert_close(mine, yours, atol=1e-5, rtol=0)


def test_what_has_no_weight_or_no_room_is_counted(tiny_folder):
    model = folder.create(TrainConfig(model=str(tiny_folder), max_length=60, too_long="drop"), seed=0)
    found = encode_examples([example("a", "b"), example("a", "c", weight=0.0), example("a", "x" * 100)], model.renderer)
    assert (len(found.items), found.dropped, found.truncated) == (1, 2, 0)
    assert found.reasons["weight 0"] == 1
    model.renderer.too_long = "truncate_response"
    assert encode_examples([example("a", "x" * 100)], model.renderer).truncated == 1


def test_weights_are_scaled_to_mean_one():
    items = [Encoded([1], [2], 0.5, weight, "u") for weight in (1.0, 2.0, 3.0)]
    assert [i.sample_weight for i in unit_mean_weights(items)] == pytest.approx([0.5, 1.0, 1.5])


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(0, 5))
def test_units_stay_together_and_every_epoch_has_its_own_order(units, seed):
    sampler = UnitSampler(units, seed)
    order = list(sampler)
    assert sorted(order) == list(range(len(units)))
    met = [units[i] for i in order]
    assert len([u for u, before in zip(met, ["", *met], strict=False) if u != before]) == len(set(units))
    assert list(UnitSampler(units, seed)) == order
    sampler.set_epoch(1)
    assert sorted(sampler) == sorted(order)


def test_epochs_differ():
    sampler = UnitSampler([str(i) for i in range(50)], 0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
