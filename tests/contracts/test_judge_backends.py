"""Every registered judge backend keeps the contract; the local one on a tiny model with random weights."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from rewardkit.judge.backends import BACKENDS, GROUP, open_backend
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import registered
from rewardkit.types import Comparison, Message, Prompt, Response

server = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))["server"]
messages = runpy.run_path(str(Path(__file__).parents[1] / "messages.py"))["messages"]
# What runs on an accelerator only has the same contract, where there is one: tests/contracts/test_judge_vllm.py.
ALL = sorted(set(registered(GROUP, BACKENDS)) - {"vllm"})
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


@pytest.fixture
def config(request, tiny, server, messages, recorded):
    """What each backend needs to answer here."""
    url = messages.url.removesuffix("/v1") if request.param == "anthropic" else server.url
    where = {"url": url, "key_variable": None}
    fields = {"model": tiny, "dtype": "float32", "max_tokens": 400, "batch_tokens": 500, "server": where}
    if request.param == "replay":
        fields |= {"model": "recorded", "replay": {"files": (recorded,), "order": "ab"}}
    return JudgeConfig(backend=request.param, **fields)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A file of verdicts on the items that the requests here are about."""
    file = tmp_path_factory.mktemp("recorded") / "recorded.jsonl"
    rows = [
        {
            "prompt": text,
            "response_a": "one",
            "response_b": "other",
            "labels": [{"annotator": "recorded", "source": "judge", "preference": 1 / (2 + len(text))}],
        }
        for text in dict.fromkeys(WORDS)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def over(names):
    """Run a test over backends."""
    return pytest.mark.parametrize("config", names, indirect=True)


def capabilities_of(name):
    opens = registered(GROUP, BACKENDS)[name]
    return getattr(opens, "__self__", opens).capabilities


def ask(user, system="Judge with great care, and take your time over it.", about=""):
    return Request(system, user, "Answer:", ("A", "B"), about=about)


def about(text):
    """Name the comparison of two responses to a text, in the order ab."""
    prompt = Prompt.of((Message(role="user", content=text),))
    return f"{Comparison.of(prompt.id, *(Response.of(prompt.id, each).id for each in ('one', 'other'))).id} ab"


def say(user, system="Judge with great care, and take your time over it."):
    return Request(system, user, "", (), reply_tokens=40)


WORDS = [("word " * n).strip() + "?" for n in (3, 40, 1, 17, 40, 5, 60, 2)]
REQUESTS = [ask(text, about=about(text)) for text in WORDS]
SPOKEN = [say(text) for text in WORDS]
LABELLING = [name for name in ALL if "labels" in capabilities_of(name)]
REPLYING = [name for name in ALL if "replies" in capabilities_of(name)]
# Nobody reads a request that is answered from a record: none is too long.
READING = [name for name in LABELLING if name != "replay"]


def probabilities(completions):
    return [{label: math.exp(value) for label, value in c.logprobs.items()} for c in completions]


@over(LABELLING)
def test_each_request_is_answered_in_its_place(config):
    completions = open_backend(config).complete(REQUESTS)
    assert len(completions) == len(REQUESTS)
    for completion in completions:
        assert isinstance(completion, Completion)
        assert not completion.failure
        assert set(completion.logprobs) == {"A", "B"}
        assert all(value <= 0.0 for value in completion.logprobs.values())
        # Records know no other tokens.
        assert sum(map(math.exp, completion.logprobs.values())) < (1.0 if config.backend in READING else 1.0 + 1e-9)
        assert completion.tokens > 0
    assert completions[1].logprobs == pytest.approx(completions[4].logprobs, abs=1e-5)
    assert completions[0].logprobs != pytest.approx(completions[1].logprobs, abs=1e-5)


@over(LABELLING)
def test_alone_and_in_company_the_answer_is_the_same(config):
    together = open_backend(config).complete(REQUESTS)
    for request, expected in zip(REQUESTS, probabilities(together), strict=True):
        (alone,) = probabilities(open_backend(config).complete([request]))
        assert alone == pytest.approx(expected, abs=1e-5)


@over(LABELLING)
def test_what_was_asked_before_changes_nothing(config):
    backend = open_backend(config)
    backend.complete(REQUESTS[:3])
    backend.complete([ask("Something else?", system="Another system message, long enough to be shared.")] * 2)
    after = backend.complete(REQUESTS)
    fresh = open_backend(config).complete(REQUESTS)
    for left, right in zip(probabilities(after), probabilities(fresh), strict=True):
        assert left == pytest.approx(right, abs=1e-5)


@over(READING)
def test_a_request_that_is_too_long_is_a_failed_completion_among_good_ones(config):
    good, long, again = open_backend(config).complete([REQUESTS[0], ask("word " * 500), REQUESTS[0]])
    assert "longer than max_tokens (400)" in long.failure
    assert not long.logprobs
    assert good.logprobs == pytest.approx(again.logprobs)


@over(LABELLING)
def test_a_backend_that_replies_does_so_among_labels(config):
    backend = open_backend(config)
    words = Request("Judge with great care.", "Why?", "", (), reply_tokens=5, cut=True)
    between = [words] * ("replies" in backend.capabilities)
    first, *replies, last = backend.complete([REQUESTS[0], *between, REQUESTS[1]])
    assert set(first.logprobs) == set(last.logprobs) == {"A", "B"}
    assert len(replies) == len(between)
    assert not any(each.failure or each.logprobs for each in replies)
    assert all(each.tokens > 0 for each in replies)


@over(ALL)
def test_nothing_asked_is_nothing_answered(config):
    assert open_backend(config).complete([]) == []


@over(LABELLING)
def test_tokens_are_counted_as_they_are_reported(config):
    backend = open_backend(config)
    assert [c.tokens for c in backend.complete(REQUESTS)] == [backend.count_tokens(r) for r in REQUESTS]


@over(ALL)
def test_the_annotators_facts_are_there_and_stable(config):
    one, two = open_backend(config), open_backend(config)
    assert (one.name, one.model, one.revision, one.settings) == (two.name, two.model, two.revision, two.settings)
    assert one.name == config.backend
    assert one.model
    assert one.revision
    other = {"replay": config.replay.model_copy(update={"order": "ba"})} if config.replay else {"max_tokens": 300}
    assert one.settings != open_backend(config.model_copy(update=other)).settings


@over(REPLYING)
def test_replies_come_in_their_places_and_are_no_probabilities(config):
    backend = open_backend(config)
    requests = [replace(each, cut=True) for each in SPOKEN]
    found = backend.complete(requests)
    assert [each.tokens for each in found] == [backend.count_tokens(each) for each in requests]
    assert all(each.reply and not each.failure and not each.logprobs for each in found)
    assert found[1].reply == found[4].reply == open_backend(config).complete(requests[1:2])[0].reply


@over(REPLYING)
def test_a_request_for_words_that_is_too_long_is_a_failure_too(config):
    good, long = open_backend(config).complete([replace(SPOKEN[0], cut=True), say("word " * 500)])
    assert good.reply and "longer than max_tokens (400)" in long.failure and not long.reply
