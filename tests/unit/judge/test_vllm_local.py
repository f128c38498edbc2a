"""How vLLM's engine is asked and read, on a stand-in with its documented interface that computes with transformers.

What the engine itself makes of it is tested where it can be installed: tests/contracts/test_judge_vllm.py.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from rewardkit.errors import MissingExtraError, ModelError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Request
from rewardkit.judge_config import JudgeConfig


@dataclass
class SamplingParams:
    """Those of vLLM's parameters that are used; it refuses numbers of log-probabilities that differ."""

    temperature: float = 1.0
    max_tokens: int = 16
    seed: int | None = None
    logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    detokenize: bool = True
    structured_outputs: object = None

    def __post_init__(self):
        assert self.logprobs == (len(self.logprob_token_ids) if self.logprob_token_ids else None)


@dataclass
class StructuredOutputsParams:
    json: str


@dataclass
class LLM:
    """Answers label requests with all tokens' log-probabilities, and others with its own parameters."""

    model: str
    dtype: str
    enable_prefix_caching: bool
    logprobs_mode: str
    seed: int
    asked: list = field(default_factory=list)
    made = []

    def __post_init__(self):
        from transformers import AutoModelForCausalLM

        if self.dtype != "float32":
            raise ValueError("no room on the accelerator")
        self.weights = AutoModelForCausalLM.from_pretrained(self.model).eval()
        LLM.made.append(self)

    def generate(self, prompts, params, *, use_tqdm):
        assert len(prompts) == len(params) and use_tqdm is False
        self.asked.append(params)
        pairs = zip((each["prompt_token_ids"] for each in prompts), params, strict=True)
        return [SimpleNamespace(outputs=[self.one(ids, how)]) for ids, how in pairs]

    def one(self, ids, how):
        import torch

        if not how.logprob_token_ids:
            text = how.structured_outputs.json if how.structured_outputs else f"{how.temperature} {how.seed}"
            ending = "length" if how.max_tokens < 5 else "stop"
            return SimpleNamespace(text=text, token_ids=[1, 2], finish_reason=ending, logprobs=None)
        with torch.inference_mode():
            told = torch.log_softmax(self.weights(torch.tensor([ids])).logits[0, -1].float(), -1)
        at = {token: SimpleNamespace(logprob=told[token].item()) for token in [*how.logprob_token_ids, 7]}
        return SimpleNamespace(text="", token_ids=[7], finish_reason="length", logprobs=[at])


@pytest.fixture
def vllm(monkeypatch):
    module, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    module.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams, params.StructuredOutputsParams = LLM, SamplingParams, StructuredOutputsParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    monkeypatch.setattr(LLM, "made", [])


@pytest.fixture(scope="module")
def model(tiny_model):
    return str(tiny_model())


def served(model, **fields):
    return open_backend(JudgeConfig(backend="vllm", model=model, dtype="float32", max_tokens=300, **fields))


def ask(user, labels=("A", "B"), **fields):
    return Request("Judge.", user, "", labels, **fields)


def test_labels_have_the_probabilities_of_the_plain_forward_pass(vllm, model):
    requests = [ask("word " * n + "?") for n in (3, 20, 1)]
    found = served(model).complete(requests)
    plain = open_backend(JudgeConfig(backend="transformers", model=model, dtype="float32", max_tokens=300))
    for one, other in zip(found, plain.complete(requests), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5) and one.tokens == other.tokens
        assert one.seconds > 0 and not one.failure
    (engine,) = LLM.made
    assert engine.enable_prefix_caching and engine.logprobs_mode == "raw_logprobs"
    (params,) = engine.asked
    assert {(how.temperature, how.max_tokens, how.logprobs) for how in params} == {(0.0, 1, 2)}


def test_replies_are_drawn_where_there_is_a_seed(vllm, model):
    asked = [
        ask("Why?", (), reply_tokens=20),
        ask("Why?", (), reply_tokens=20, seed=3),
        ask("Why?", (), reply_tokens=20, seed=3, temperature=0.5),
        ask("Why?", (), reply_tokens=20, temperature=0.5),
        ask("Why?", (), reply_tokens=20, schema=json.dumps({"type": "object"})),
    ]
    replies = [each.reply for each in served(model).complete(asked)]
    # Without a seed the most probable reply is wanted, whatever the temperature, as from the local model.
    assert replies == ["0.0 None", "1.0 3", "0.5 3", "0.0 None", '{"type": "object"}']


def test_places_are_kept_and_what_cannot_be_answered_fails_alone(vllm, model):
    requests = [
        ask("a"),
        ask("b", (), reply_tokens=2),
        ask("c", (), reply_tokens=2, cut=True),
        ask("word " * 200),
        ask("d", (), reply_tokens=2000),
        ask("a"),
    ]
    first, cut, kept, long, huge, last = served(model).complete(requests)
    assert first.logprobs == last.logprobs and not kept.failure and kept.was_cut
    assert cut.failure == "the reply was cut off at 2 tokens" and "longer than max_tokens (300)" in long.failure
    assert huge.failure == "the request and a reply of 2000 tokens are longer than the model's 1024"


def test_a_stream_asks_together_what_waits_for_no_answer(vllm, model):
    backend, answered = served(model), []

    def talks():
        yield from (ask(f"first {n}") for n in range(5))
        while len(answered) < 5:
            yield None
        yield from (ask(f"second {n}") for n in range(2))

    for number, completion in backend.stream(talks()):
        answered.append((number, completion.failure))
    assert answered == [(number, "") for number in range(7)]
    assert [len(params) for params in LLM.made[0].asked] == [5, 2]


def test_a_model_that_cannot_be_served_is_said(vllm, model):
    backend = open_backend(JudgeConfig(backend="vllm", model=model, dtype="bfloat16"))
    with pytest.raises(ModelError, match="vLLM cannot serve the model: no room"):
        backend.complete([ask("a")])


def test_a_package_that_is_missing_is_said_at_once(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match="vllm") as raised:
        open_backend(JudgeConfig(backend="vllm", model=model))
    assert raised.value.fix == 'pip install "rewardkit[vllm]"'
