"""The local judge in words, with the real SmolLM2: it thinks, and the verdict is read after its thought."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rewardkit.judge.contract import Request
from rewardkit.judge.estimating import estimate_comparisons
from rewardkit.judge.judges import open_judges
from rewardkit.judge.local import LocalBackend
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge_config import JudgeConfig
from rewardkit.models import resolve

pytestmark = pytest.mark.slow


pair = runpy.run_path(str(Path(__file__).parents[1] / "paired.py"))["pair"]
ITEMS = [pair("Fog came.", "It was a light."), pair("The keeper had drowned, and was annoyed about it.", "Once.")]


@pytest.fixture(scope="module")
def backend():
    return LocalBackend("smollm2-135m", dtype="float32")


def words(user, tokens=12, **fields):
    return Request("You answer briefly.", user, "", (), reply_tokens=tokens, cut=True, **fields)


def plainly(system, user, tokens):
    """Return what transformers itself makes of a conversation: its chat template, and its search without ours."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve("smollm2-135m").path
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**asked, do_sample=False, max_new_tokens=tokens)[0, asked["input_ids"].shape[1] :]
    return tokenizer.decode(written, skip_special_tokens=True)


def test_labels_and_replies_are_answered_in_their_places(backend):
    label = Request("", "Is rain wet?", "Answer:", ("A", "B"))
    asked = [words("What is the capital of France?"), label, words("Say nothing but: yes", 3), label]
    found = backend.complete(asked)
    assert [bool(each.reply) for each in found] == [True, False, True, False]
    assert found[0].reply == plainly("You answer briefly.", "What is the capital of France?", 12)
    assert set(found[1].logprobs) == {"A", "B"} and found[1].logprobs == found[3].logprobs
    assert found[2].reply_tokens <= 3
    assert [each.tokens for each in found] == [backend.count_tokens(each) for each in asked]


def test_drawn_replies_are_the_same_in_any_company(backend):
    asked = [words(f"Name {n} animals.", seed=n, temperature=1.0) for n in (2, 3, 4)]
    together = [each.reply for each in backend.complete(asked)]
    assert together == [backend.complete([each])[0].reply for each in asked[::-1]][::-1]
    assert len({backend.complete([words("Name an animal.", seed=n, temperature=1.5)])[0].reply for n in range(4)}) > 1


def test_a_whole_run_thinks_and_then_labels():
    options = {"thought_tokens": 24}
    config = JudgeConfig(
        dtype="float32",
        protocol="reasoned.v1",
        protocol_options=options,
        rating_protocol="rating-reasoned.v1",
        rating_protocol_options=options,
    )
    judges = open_judges(config)
    estimate = estimate_comparisons(ITEMS, judges.pairs, config)
    _, *labels = judge_comparisons(ITEMS, judges.pairs, config)
    assert (estimate.requests, len(labels)) == (8, 4)
    assert sum(label.tokens for label in labels) <= 1.2 * estimate.tokens
    for label in labels:
        assert label.status == "ok" and 0.0 < label.p_a < 1.0 and len(label.rationale.split()) > 5
        assert label.metadata["thought_cut"] is True
    _, *ratings = judge_ratings(ITEMS[:1], judges.ratings, config)
    assert all(1.0 < each.value < 5.0 and each.rationale for each in ratings)
