from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.config import TrainConfig
from rewardkit.packing import pack
from rewardkit.reward_model import folder
from rewardkit.reward_model.collation import (
    Encoded,
    GroupCollator,
    UnitSampler,
    encode_examples,
    length_slope,
    unit_mean_weights,
)
from rewardkit.reward_model.losses import bradley_terry
from rewardkit.types import PreferenceExample, SoftPreference

from .test_network import stirred


def example(a, b, p_a=0.8, weight=1.0, unit="u", split="train"):
    preference = SoftPreference(
        comparison_id=f"{a}-{b}", p_a=p_a, sample_weight=weight, method="test", split=split, unit=unit
    )
    return PreferenceExample(preference=preference, prompt=(), response_a=a, response_b=b)


def test_each_text_of_a_group_stands_in_it_once():
    x, y, z = [1, 2, 3], [4, 5], [6]
    items = [Encoded(x, y, 1.0, 1.0, "u"), Encoded(z, x, 0.25, 2.0, "u"), Encoded(y, z, 0.5, 1.0, "u")]
    (group,) = GroupCollator(100)(items)["groups"]
    assert group.sequences == [[1, 2, 3], [4, 5], [6]] and len(group) == 3
    assert (group.row_a.tolist(), group.row_b.tolist()) == ([0, 2, 1], [1, 0, 2])
    assert group.p_a.tolist() == [1.0, 0.25, 0.5] and group.sample_weight.tolist() == [1.0, 2.0, 1.0]


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6)), st.data())
def test_groups_hold_every_comparison_in_order_within_the_budget(texts, data):
    items = [Encoded([9, *a], [9, *b], 0.5, 1.0, "u") for a, b in zip(texts, texts[1:], strict=False)]
    budget = data.draw(st.integers(1, 30))
    groups = GroupCollator(budget)(items)["groups"]
    found = [(g.sequences[a], g.sequences[b]) for g in groups for a, b in zip(g.row_a, g.row_b, strict=True)]
    assert found == [(item.ids_a, item.ids_b) for item in items]
    for group in groups:
        assert len(group) == 1 or len(pack(group.sequences).ids) <= budget


def test_loss_and_gradients_equal_those_of_padded_pairs(tiny_folder, padded):
    """The oracle is what others do: plain peft, A above B, every comparison with rows of its own."""
    model = folder.create(TrainConfig(model=str(tiny_folder), max_length=200), seed=3)
    texts = ["one", "another one", "a third, which is longer", "four"]
    pairs, targets = [(0, 1), (1, 2), (3, 0), (2, 3)], [0.9, 0.4, 0.5, 0.0]
    examples = [example(texts[a], texts[b], p) for (a, b), p in zip(pairs, targets, strict=True)]
    encoded = encode_examples(examples, model.renderer).items
    (group,) = GroupCollator(10_000)(encoded)["groups"]
    stirred(model)
    rewards = model.network.rewards(group.sequences)
    ours = bradley_terry(rewards[group.row_a], rewards[group.row_b], group.p_a, group.sample_weight).mean()
    weights = {name: each for name, each in model.network.named_parameters() if each.requires_grad}
    mine = torch.autograd.grad(ours, list(weights.values()))
    plain = folder.create(TrainConfig(model=str(tiny_folder), max_length=200), seed=3).network
    plain.load_state_dict(model.network.state_dict())
    for module in plain.modules():
        # What was fused, and nothing else, has a forward pass of its own.
        module.__dict__.pop("forward", None)
    plain.classifier.set_attn_implementation("eager")
    ids, mask = padded([e.ids_a for e in encoded] + [e.ids_b for e in encoded], model.tokenizer.pad_token_id)
    hidden = plain.classifier.model(input_ids=ids, attention_mask=mask).last_hidden_state
    reward_a, reward_b = plain.classifier.score(hidden[range(len(ids)), mask.sum(-1) - 1])[:, 0].chunk(2)
    theirs = bradley_terry(reward_a, reward_b, group.p_a, group.sample_weight).mean()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    own = dict(plain.named_parameters())
    for found, expected in zip(mine, torch.autograd.grad(theirs, [own[name] for name in weights]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


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


def ring(units):
    """One comparison for each unit named: of those of a unit each shares a text with the next."""
    return [Encoded([ord(unit), i], [ord(unit), i + 1], 0.5, 1.0, unit) for i, unit in enumerate(units)]


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(0, 5), st.integers(1, 12))
def test_units_stay_together_and_every_epoch_has_its_own_order(units, seed, batch):
    sampler = UnitSampler(ring(units), seed, batch)
    order = list(sampler)
    assert sorted(order) == list(range(len(units)))
    met = [units[i] for i in order]
    assert len([u for u, before in zip(met, ["", *met], strict=False) if u != before]) == len(set(units))
    assert list(UnitSampler(ring(units), seed, batch)) == order
    sampler.set_epoch(1)
    assert sorted(sampler) == sorted(order)


def test_epochs_differ():
    sampler = UnitSampler(ring([str(i % 10) for i in range(50)]), 0, 8)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


@pytest.mark.parametrize("seed", range(5))
def test_units_that_fill_a_batch_together_are_not_cut(seed):
    units = "".join(name * size for name, size in zip("abcdefgh", [8, 4, 7, 5, 8, 4, 6, 6], strict=True))
    order = [units[i] for i in UnitSampler(ring(units), seed, 12)]
    assert [len(set(order[i : i + 12])) for i in range(0, 48, 12)] == [2, 2, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_that_cuts_a_unit_is_among_few_of_its_texts(seed):
    """All 45 pairs of ten texts: the first ten are those of five texts, and no ten are among fewer."""
    items = [Encoded([a], [b], 0.5, 1.0, "u") for a in range(10) for b in range(a)]
    first = list(UnitSampler(items, seed, 10))[:10]
    assert len({text[0] for i in first for text in items[i].texts}) == 5


def test_a_text_counts_once_in_a_group_and_a_unit_that_fits_is_not_cut():
    """Six pairs of four texts of ten tokens are forty tokens, not a hundred and twenty."""
    texts = {name: [[ord(name) * 1000 + 100 * i + k for k in range(10)] for i in range(4)] for name in "xy"}
    items = [Encoded(t[a], t[b], 0.5, 1.0, name) for name, t in texts.items() for a in range(4) for b in range(a)]
    assert [len(group) for group in GroupCollator(40)(items)["groups"]] == [6, 6]
    assert [len(group) for group in GroupCollator(79)(items)["groups"]] == [6, 6]
    assert [len(group) for group in GroupCollator(80)(items)["groups"]] == [12]


def test_what_length_alone_explains_by_hand():
    """Twice as long wins three times in four: ln 3 a doubling; where length varies not, it explains nothing."""
    items = [Encoded([1], [2], p, 1.0, "u", doublings=d) for p, d in ((0.75, 1.0), (0.25, -1.0), (0.9, 2.0))]
    assert length_slope(items) == pytest.approx(1.0986, abs=1e-3)
    assert length_slope([Encoded([1], [2], 0.9, 1.0, "u")]) == 0.0
    assert abs(length_slope([Encoded([1], [2], 1.0, 1.0, "u", doublings=1.0)])) <= 10.0


def test_how_much_longer_counts_characters(tiny_folder):
    model = folder.create(TrainConfig(model=str(tiny_folder), max_length=200), seed=3)
    (item,) = encode_examples([example("x" * 40, "y" * 10)], model.renderer).items
    assert item.doublings == 2.0
