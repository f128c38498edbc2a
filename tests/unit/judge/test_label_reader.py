"""Packs against plain forward passes, on tiny models with random weights of many families."""

from __future__ import annotations

import pytest
import torch
import transformers

from rewardkit import attending
from rewardkit.attending import UNLIMITED, Attended, Memory, inputs, prepare
from rewardkit.judge.label_reader import LabelReader
from rewardkit.packing import pack

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "initializer_range": 0.3,
}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "Llama": HEADS,
    "Qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "Qwen3": HEADS,
    "Gemma": HEADS,
    "Mistral": HEADS | {"sliding_window": None},
}
WHOLE = {"Mamba": {"state_size": 4}, "Llama": HEADS | {"attn_implementation": "eager"}, "Gemma2": HEADS}
LABELS = [5, 9, 200]
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2.0, 5.0, 9.0, 14.0],
    "original_max_position_embeddings": 128,
}


def build(family, dtype=torch.float32, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **more)
    return getattr(transformers, f"{family}ForCausalLM")(config).to(dtype).eval()


def texts():
    """Token ids as of a job: a rubric, requests below it, and what differs; one twice, one long."""
    draw = torch.Generator().manual_seed(1)

    def some(count):
        return torch.randint(0, 300, (count,), generator=draw).tolist()

    rubric, requests = some(20), [some(9), some(4)]
    found = [[*rubric, *request, *some(count)] for request in requests for count in (3, 30, 12)]
    return [*found, found[1], [*rubric, *some(90)]]


def plainly(model, sequences):
    """One forward pass for each."""
    with torch.inference_mode():
        logits = [model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in sequences]
    return torch.stack(logits).float().log_softmax(-1)[:, LABELS]


def read(reader, sequences, budget=80):
    found = torch.full((len(sequences), len(LABELS)), float("nan"))
    for batch in reader.batches(sequences, budget):
        rows = reader.read([sequences[i] for i in batch], [LABELS] * len(batch))
        found[batch] = torch.tensor(rows)
    return found


def close(one, other):
    assert (one.exp() - other.exp()).abs().max() <= 1e-5
    assert (one - other).abs().max() <= 1e-3
    # They differ from text to text, so that being close says something.
    assert (other[0] - other[1]).abs().max() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_packs_read_what_plain_passes_read(family, capsys):
    model = build(family, **FAMILIES[family])
    expected = plainly(model, texts())
    reader = LabelReader(model)
    close(read(reader, texts()), expected)
    assert model.config._attn_implementation == attending.PACKED
    assert capsys.readouterr().err == ""
    # Calls without a pack go on as before, padded ones too.
    assert plainly(model, texts()) == pytest.approx(expected, abs=1e-6)
    close(read(LabelReader(model, share=False), texts()), expected)


@pytest.mark.parametrize("family", WHOLE)
def test_models_that_cannot_read_packs_read_whole_and_say_so(family, capsys):
    model = build(family, **WHOLE[family])
    expected = plainly(model, texts())
    reader = LabelReader(model)
    close(read(reader, texts()), expected)
    close(read(reader, texts()), expected)
    assert capsys.readouterr().err.count("requests are run whole") == 1
    assert model.config._attn_implementation != attending.PACKED


def test_sequences_beyond_a_window_are_read_whole(capsys):
    model = build("Mistral", **HEADS, sliding_window=40)
    assert prepare(model).longest == 40
    expected = plainly(model, texts())
    close(read(LabelReader(model), texts()), expected)
    assert "requests of more than 40 tokens are run whole" in capsys.readouterr().err


@pytest.mark.parametrize("how", [{}, {"attn_implementation": "eager"}])
def test_short_sequences_read_the_same_beside_those_that_turn_all_tokens_otherwise(how, capsys):
    model = build("Llama", **HEADS, rope_parameters=LONG_ROPE, max_position_embeddings=256, **how)
    draw = torch.Generator().manual_seed(2)
    shared, rest = torch.randint(0, 300, (40,), generator=draw), torch.randint(0, 300, (4, 150), generator=draw)
    sequences = [[*shared.tolist(), *rest[n, :own].tolist()] for n, own in enumerate((20, 150, 88, 89))]
    assert [len(ids) for ids in sequences] == [60, 190, 128, 129]
    expected = plainly(model, sequences)
    for share in (True, False):
        reader = LabelReader(model, share=share)
        close(read(reader, sequences, budget=4000), expected)
        # What was kept of the first is not used for the long ones.
        close(read(reader, sequences[::-1], budget=4000).flip(0), expected)
    assert prepare(model).longest == (0 if how else 128)
    assert how or "more than 128 tokens are run whole" in capsys.readouterr().err


def test_calls_turn_otherwise_where_a_kind_of_layer_says_so():
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    assert attending.turns(build("Llama", **HEADS)) == ()
    growing = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    assert attending.turns(build("Llama", **HEADS, rope_parameters=growing, max_position_embeddings=64)) == (64,)
    by_kind = {"full_attention": LONG_ROPE, "sliding_attention": plain}
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "pad_token_id": 0}
    config = transformers.Gemma3TextConfig(**SIZES, **HEADS, rope_parameters=by_kind, **kinds)
    assert attending.turns(transformers.Gemma3ForCausalLM(config)) == (128,)


def test_a_model_that_mixes_up_what_stands_in_a_row_is_left_as_it_was(monkeypatch):
    def forgetful(self, layer, key, value):
        return key.roll(1, dims=2), value

    monkeypatch.setattr(Attended, "joined", forgetful)
    model = build("Llama", **HEADS)
    assert "reads packs differently" in prepare(model).why
    assert model.config._attn_implementation == "sdpa"


def test_one_mask_says_the_same_as_segments(monkeypatch):
    """What accelerators are given: the same row with a mask, through torch's own attention."""
    model = build("Llama", **HEADS)
    assert prepare(model).longest == UNLIMITED
    sequences = texts()
    packed = pack(sequences)
    row = inputs(packed, Memory(), torch.device("cpu"))
    with torch.inference_mode():
        by_segments = model(**row).logits
        monkeypatch.setattr(attending, "_on_segments", lambda _: False)
        row = inputs(packed, Memory(), torch.device("cpu"))
        assert row["attention_mask"].shape == (1, 1, len(packed.ids), len(packed.ids))
        by_mask = model(**row).logits
    assert (by_segments - by_mask).abs().max() < 1e-4


def test_bfloat16_is_as_near_to_float32_as_a_plain_pass_is():
    exact = plainly(build("Llama", **HEADS), texts()).exp()
    model = build("Llama", torch.bfloat16, **HEADS)
    plain = (plainly(model, texts()).exp() - exact).abs().mean()
    reader = LabelReader(model)
    packed = (read(reader, texts()).exp() - exact).abs().mean()
    assert reader._packable.longest == UNLIMITED
    assert 0 < packed < 2 * plain


def test_others_in_a_pack_change_nothing_of_a_sequence_in_bfloat16():
    import random

    model = build("Llama", torch.bfloat16, **HEADS)
    assert prepare(model).longest == UNLIMITED
    shared, own, draw = [7 * n % 299 for n in range(60)], [250, 3, 5], random.Random(0)
    with torch.inference_mode():
        found = set()
        for _ in range(6):
            other = [*shared, 1, *(draw.randrange(300) for _ in range(20))]
            packed = pack([other, [*shared, *own]])
            row = inputs(packed, Memory(), torch.device("cpu"))
            found.add(tuple(model(**row).logits[0, packed.ends[1], :20].tolist()))
    assert len(found) == 1


def test_logits_are_computed_in_float32():
    model = build("Llama", torch.bfloat16, **HEADS)
    (row,) = LabelReader(model).read([texts()[0]], [range(300)])
    # Multiples of 1/128 at most, if they had been rounded to bfloat16 between 2 and 4.
    assert len(set(row)) == 300


def test_what_is_kept_grows_and_is_used_again():
    model = build("Llama", **HEADS)
    calls = []
    model.model.register_forward_pre_hook(lambda _, __, how: calls.append(how["input_ids"].shape[1]), with_kwargs=True)
    reader = LabelReader(model)
    first = texts()[:3]
    read(reader, first)
    calls.clear()
    expected = plainly(model, first)
    calls.clear()
    close(read(reader, first), expected)
    # 29 tokens (rubric and request) are kept: only 3 + 30 + 12 are run.
    assert sum(calls) == 45
    longer = [[*first[0], *ids] for ids in texts()[3:5]]
    expected = plainly(model, longer)
    calls.clear()
    close(read(reader, longer), expected)
    # Of those that begin with all of the first only what follows what is kept is run, and kept from then on.
    assert calls[0] == len(first[0]) + 24 - 29
