"""The backend `vllm` keeps the contract of judge backends, where vLLM can be installed: on an accelerator."""

from __future__ import annotations

import math

import pytest

from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Request
from rewardkit.judge_config import JudgeConfig

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def served():
    pytest.importorskip("vllm", reason='needs an accelerator and the extra vllm: pip install "rewardkit[vllm]"')
    return open_backend(JudgeConfig(backend="vllm", model=MODEL, max_tokens=400))


def ask(user, labels=("A", "B"), **fields):
    return Request("Judge with great care, and take your time over it.", user, "Answer:", labels, **fields)


REQUESTS = [ask("word " * n + "?") for n in (3, 40, 1, 17, 40, 5, 60, 2)]


def probabilities(completions):
    return [{label: math.exp(value) for label, value in each.logprobs.items()} for each in completions]


def test_probabilities_are_those_of_the_plain_forward_pass(served):
    plain = open_backend(JudgeConfig(backend="transformers", model=MODEL, max_tokens=400))
    pairs = zip(probabilities(served.complete(REQUESTS)), probabilities(plain.complete(REQUESTS)), strict=True)
    for found, expected in pairs:
        # Other kernels in bfloat16 round otherwise.
        assert found == pytest.approx(expected, abs=0.02)
        assert sum(found.values()) < 1.0


def test_alone_and_in_company_and_after_others_the_answer_is_the_same(served):
    together = probabilities(served.complete(REQUESTS))
    for request, expected in zip(REQUESTS, together, strict=True):
        (alone,) = probabilities(served.complete([request]))
        assert alone == pytest.approx(expected, abs=0.02)


def test_replies_stand_in_their_places_among_labels(served):
    words = ask("Why?", (), reply_tokens=8, cut=True)
    drawn = [ask("Why?", (), reply_tokens=8, cut=True, seed=seed, temperature=1.0) for seed in (1, 1, 2)]
    first, reply, one, again, other, last = served.complete([REQUESTS[0], words, *drawn, REQUESTS[1]])
    assert set(first.logprobs) == set(last.logprobs) == {"A", "B"}
    assert reply.reply and reply.was_cut and reply.reply_tokens == 8 and not reply.logprobs
    assert one.reply == again.reply != other.reply


def test_what_is_too_long_is_a_failure_among_good_ones(served):
    good, long, again = served.complete([REQUESTS[0], ask("word " * 500), REQUESTS[0]])
    assert "longer than max_tokens (400)" in long.failure and not long.logprobs
    assert good.logprobs == pytest.approx(again.logprobs, abs=0.05)


def test_tokens_are_counted_and_a_stream_keeps_its_numbers(served):
    assert [each.tokens for each in served.complete(REQUESTS)] == [served.count_tokens(each) for each in REQUESTS]
    assert [number for number, _ in served.stream(iter(REQUESTS))] == list(range(len(REQUESTS)))
