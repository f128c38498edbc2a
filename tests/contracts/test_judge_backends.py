"""Every registered judge backend keeps the contract; the local one on a tiny model with random weights."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from rewardkit.judge.backends import BACKENDS, GROUP, open_backend
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import registered

server = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))["server"]
ALL = sorted(registered(GROUP, BACKENDS))
TEMPLATE = (
    "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a two-layer model of random weights and a byte tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    merges = [("Ġ", label) for label in "AB"]
    vocab = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocab)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|e|>", chat_template=TEMPLATE)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|s|>"]})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=1024, initializer_range=0.5, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=ALL)
def config(request, tiny, server):
    where = {"url": server.url, "key_variable": None}
    fields = {"model": tiny, "dtype": "float32", "max_tokens": 400, "batch_tokens": 500, "server": where}
    return JudgeConfig(backend=request.param, **fields)


def ask(user, system="Judge with great care, and take your time over it."):
    return Request(system, user, "Answer:", ("A", "B"))


REQUESTS = [ask("word " * n + "?") for n in (3, 40, 1, 17, 40, 5, 60, 2)]


def probabilities(completions):
    return [{label: math.exp(value) for label, value in c.logprobs.items()} for c in completions]


def test_each_request_is_answered_in_its_place(config):
    completions = open_backend(config).complete(REQUESTS)
    assert len(completions) == len(REQUESTS)
    for completion in completions:
        assert isinstance(completion, Completion)
        assert not completion.failure
        assert set(completion.logprobs) == {"A", "B"}
        assert all(value <= 0.0 for value in completion.logprobs.values())
        assert sum(map(math.exp, completion.logprobs.values())) < 1.0
        assert completion.tokens > 0
    assert completions[1].logprobs == pytest.approx(completions[4].logprobs, abs=1e-5)
    assert completions[0].logprobs != pytest.approx(completions[1].logprobs, abs=1e-5)


def test_alone_and_in_company_the_answer_is_the_same(config):
    together = open_backend(config).complete(REQUESTS)
    for request, expected in zip(REQUESTS, probabilities(together), strict=True):
        (alone,) = probabilities(open_backend(config).complete([request]))
        assert alone == pytest.approx(expected, abs=1e-5)


def test_what_was_asked_before_changes_nothing(config):
    backend = open_backend(config)
    backend.complete(REQUESTS[:3])
    backend.complete([ask("Something else?", system="Another system message, long enough to be shared.")] * 2)
    after = backend.complete(REQUESTS)
    fresh = open_backend(config).complete(REQUESTS)
    for left, right in zip(probabilities(after), probabilities(fresh), strict=True):
        assert left == pytest.approx(right, abs=1e-5)


def test_a_request_that_is_too_long_is_a_failed_completion_among_good_ones(config):
    good, long, again = open_backend(config).complete([REQUESTS[0], ask("word " * 500), REQUESTS[0]])
    assert "longer than max_tokens (400)" in long.failure
    assert not long.logprobs
    assert good.logprobs == pytest.approx(again.logprobs)


def test_a_backend_that_replies_does_so_among_labels(config):
    backend = open_backend(config)
    words = Request("Judge with great care.", "Why?", "", (), reply_tokens=5, cut=True)
    between = [words] * ("replies" in backend.capabilities)
    first, *replies, last = backend.complete([REQUESTS[0], *between, REQUESTS[1]])
    assert set(first.logprobs) == set(last.logprobs) == {"A", "B"}
    assert len(replies) == len(between)
    assert not any(each.failure or each.logprobs for each in replies)
    assert all(each.tokens > 0 for each in replies)


def test_nothing_asked_is_nothing_answered(config):
    assert open_backend(config).complete([]) == []


def test_tokens_are_counted_as_they_are_reported(config):
    backend = open_backend(config)
    assert [c.tokens for c in backend.complete(REQUESTS)] == [backend.count_tokens(r) for r in REQUESTS]


def test_the_annotators_facts_are_there_and_stable(config):
    one, two = open_backend(config), open_backend(config)
    assert (one.name, one.model, one.revision, one.settings) == (two.name, two.model, two.revision, two.settings)
    assert one.name == config.backend
    assert one.model
    assert one.revision
    assert one.settings != open_backend(config.model_copy(update={"max_tokens": 300})).settings
