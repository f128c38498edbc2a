"""Replies in words from a local model: token by token what plain forward passes say, alone and in company."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Request
from rewardkit.judge.replying import Replier
from rewardkit.judge_config import JudgeConfig

SIZE, END = 64, 63
CONTEXT = 64


class Letters:
    """A tokenizer of one sign a token."""

    eos_token_id = END

    def decode(self, ids, **_):
        return "".join(chr(0x100 + i) for i in ids)


def ids_of(text):
    return [ord(sign) - 0x100 for sign in text]


@pytest.fixture(scope="module")
def model():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=SIZE, max_position_embeddings=CONTEXT, initializer_range=0.5, **shape)
    found = LlamaForCausalLM(config).eval()
    # Its own wishes, none of which a judge follows.
    found.generation_config.update(do_sample=True, temperature=0.3, repetition_penalty=1.7, eos_token_id=END)
    return found


@pytest.fixture
def replier(model):
    return Replier(model, Letters(), batch_tokens=200, context=CONTEXT)


def replies_of(replier, requests, sequences):
    found = dict(replier.reply(requests, sequences))
    return [found[place] for place in range(len(requests))]


def asked(tokens=8, **fields):
    return Request("", "?", "", (), reply_tokens=tokens, cut=True, **fields)


def logits_after(model, ids):
    import torch

    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, -1].double()


def plainly(model, ids, tokens):
    """Return the most probable continuation, from one forward pass of the whole for each token."""
    found = []
    while len(found) < tokens and END not in found:
        found.append(int(logits_after(model, [*ids, *found]).argmax()))
    return [each for each in found if each != END]


SEQUENCES = [[(7 * n + k) % 60 for k in range(length)] for n, length in enumerate((3, 20, 1, 9, 20, 31))]


def test_without_a_seed_each_token_is_the_most_probable_one(model, replier):
    replies = replies_of(replier, [asked()] * 6, SEQUENCES)
    for ids, reply in zip(SEQUENCES, replies, strict=True):
        assert ids_of(reply.reply) == plainly(model, ids, 8)
        assert (reply.tokens, reply.reply_tokens) == (len(ids), len(reply.reply))


def test_each_reply_ends_at_its_own_limit(replier):
    limits = [2, 9, 4, 1, 7, 3]
    found = replies_of(replier, [asked(limit) for limit in limits], SEQUENCES)
    alone = [replies_of(replier, [asked(9)], [ids])[0].reply for ids in SEQUENCES]
    assert [each.reply for each in found] == [whole[:limit] for whole, limit in zip(alone, limits, strict=True)]


def test_a_drawn_reply_depends_on_its_seed_and_not_on_its_company(replier):
    requests = [asked(seed=n, temperature=1.5) for n in range(6)]
    together = [each.reply for each in replies_of(replier, requests, SEQUENCES)]
    alone = [replies_of(replier, [request], [ids])[0].reply for request, ids in zip(requests, SEQUENCES, strict=True)]
    assert together == alone
    others = [replies_of(replier, [replace(asked(temperature=1.5), seed=n)], [SEQUENCES[1]])[0].reply for n in range(5)]
    assert len(set(others)) == 5


def test_draws_follow_the_models_probabilities_at_their_temperature(model, replier):
    import torch

    ids, draws, temperature = SEQUENCES[3], 1500, 2.0
    replies = replies_of(replier, [asked(1, seed=n, temperature=temperature) for n in range(draws)], [ids] * draws)
    counts = Counter(ids_of(each.reply)[0] if each.reply else END for each in replies)
    shares = torch.softmax(logits_after(model, ids) / temperature, -1).tolist()
    probable = sorted(range(SIZE), key=lambda token: -shares[token])[:8]
    for token in probable:
        error = math.sqrt(shares[token] * (1 - shares[token]) / draws)
        assert counts[token] / draws == pytest.approx(shares[token], abs=4 * error)


def test_top_p_draws_from_the_fewest_most_probable_tokens_that_have_so_much(model, replier):
    import torch

    ids, draws, top_p = SEQUENCES[3], 600, 0.5
    requests = [asked(1, seed=n, temperature=2.0, top_p=top_p) for n in range(draws)]
    counts = Counter(
        ids_of(each.reply)[0] if each.reply else END for each in replies_of(replier, requests, [ids] * draws)
    )
    shares = torch.softmax(logits_after(model, ids) / 2.0, -1).tolist()
    probable = sorted(range(SIZE), key=lambda token: -shares[token])
    inside = next(n for n in range(1, SIZE) if sum(shares[token] for token in probable[:n]) >= top_p)
    assert 1 < inside < SIZE / 2 and set(counts) <= set(probable[:inside])
    whole = sum(shares[token] for token in probable[:inside])
    for token in probable[:inside]:
        share = shares[token] / whole
        assert counts[token] / draws == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / draws))


def test_at_temperature_zero_nothing_is_drawn(replier):
    drawn, plain = replies_of(replier, [asked(seed=1, temperature=0.0), asked()], [SEQUENCES[0]] * 2)
    assert drawn.reply == plain.reply


def test_a_reply_that_the_model_ends_is_whole(model, monkeypatch):
    expected = plainly(model, SEQUENCES[1], 8)
    third = expected[2]
    assert third not in expected[:2]
    monkeypatch.setattr(model.generation_config, "eos_token_id", [END, third])
    replier = Replier(model, Letters(), batch_tokens=200, context=CONTEXT)
    (reply,) = replies_of(replier, [replace(asked(), cut=False)], [SEQUENCES[1]])
    assert (ids_of(reply.reply), reply.was_cut, reply.failure) == (expected[:2], False, "")


WISHES = {
    "no_repeat_ngram_size": 1,
    "suppress_tokens": list(range(30)),
    "bad_words_ids": [[30]],
    "min_new_tokens": 8,
    "forced_eos_token_id": 31,
    "renormalize_logits": True,
}


def test_no_wish_of_the_model_is_followed_but_its_ends(model, replier, monkeypatch):
    expected = [each.reply for each in replies_of(replier, [asked()] * 6, SEQUENCES)]
    for name, wish in WISHES.items():
        monkeypatch.setattr(model.generation_config, name, wish)
    for _ in range(2):
        again = Replier(model, Letters(), batch_tokens=200, context=CONTEXT)
        assert [each.reply for each in replies_of(again, [asked()] * 6, SEQUENCES)] == expected
    assert model.generation_config.no_repeat_ngram_size == 1


def test_replies_are_handed_over_batch_by_batch(model, replier):
    passes = []
    with model.register_forward_pre_hook(lambda *_: passes.append(1)):
        # 39 tokens for the longest: no two fit 60, and each takes a forward pass for each of its 8 tokens.
        replier._batch_tokens = 60
        stream = replier.reply([replace(asked(), cut=True)] * 3, [SEQUENCES[5][:n] for n in (31, 30, 29)])
        assert not passes
        place, reply = next(stream)
        assert place == 0 and reply.reply and len(passes) <= 8
        assert [place for place, _ in stream] == [1, 2] and len(passes) > 8


def test_a_local_judge_hands_a_reply_over_before_the_next_batch_is_written(tiny_model):
    config = JudgeConfig(model=str(tiny_model()), dtype="float32", max_tokens=300, batch_tokens=20)
    backend, passes = open_backend(config), []
    backend._weights.register_forward_pre_hook(lambda *_: passes.append(1))
    stream = backend.stream([replace(asked(), user=user) for user in "abc"])
    assert {next(stream)[0] for _ in range(2)} < {0, 1, 2} and len(passes) <= 16
    assert len([*stream]) == 1


def test_replies_are_the_same_beside_sequences_that_turn_all_tokens_otherwise():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(6)
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    rope |= {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 5.0, 9.0, 14.0]}
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=SIZE, rope_parameters=rope, initializer_range=0.5, **shape)
    replier = Replier(LlamaForCausalLM(config).eval(), Letters(), batch_tokens=4000, context=128)
    sequences = [[(5 * n + 3 * k * k) % 60 for k in range(length)] for n, length in enumerate((6, 90, 28, 24, 25, 33))]
    together = [each.reply for each in replies_of(replier, [asked()] * 6, sequences)]
    assert together == [replies_of(replier, [asked()], [ids])[0].reply for ids in sequences]
    assert all(together)


def test_a_cut_reply_is_one_only_where_that_is_allowed(replier):
    allowed, refused = replies_of(replier, [asked(3), replace(asked(3), cut=False)], [SEQUENCES[0]] * 2)
    assert allowed.was_cut and len(allowed.reply) == 3 and not allowed.failure
    assert refused.failure == "the reply was cut off at 3 tokens" and not refused.reply
    assert refused.reply_tokens == 3


def test_what_does_not_fit_the_model_is_a_failure_among_good_ones(replier):
    long, good = replies_of(replier, [asked(60), asked(60)], [SEQUENCES[1], SEQUENCES[0]])
    assert "a reply of 60 tokens are longer than the model's 64" in long.failure
    assert good.reply and not good.failure
