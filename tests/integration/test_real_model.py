"""The pipeline and its equalities on SmolLM2-135M-Instruct and the sample texts; no claim about quality."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rewardkit.config import TrainConfig
from rewardkit.reward_model import folder
from rewardkit.reward_model.merging import merge
from rewardkit.reward_model.scoring import reward
from rewardkit.types import Message

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
ASK = (Message(role="user", content="Tell me a joke about a snail."),)
TEXTS = [
    "No.",
    "A snail rang the doorbell. “I've come for the party.” “That was last week.” “I only live next door.”",
    "Snails are gastropods. " * 12,
]


@pytest.fixture(scope="module")
def model():
    """SmolLM2 with adapters that do something, in float32."""
    import torch

    made = folder.create(TrainConfig(model="smollm2-135m", max_length=256), seed=0)
    with torch.no_grad():
        for name, weight in made.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    return made


def rewards(model, texts=TEXTS, **fields):
    return reward(model, [(ASK, text) for text in texts], **fields).values


def test_a_batch_of_one_equals_a_batch_of_many(model):
    alone = np.concatenate([rewards(model, [text]) for text in TEXTS])
    assert np.ptp(alone) > 1e-3
    np.testing.assert_allclose(rewards(model), alone, atol=1e-5)


def test_saved_plainly_loaded_and_merged_give_equal_rewards(model, tmp_path, padded):
    import torch

    before = rewards(model)
    folder.save(model, tmp_path / "model")
    block = (tmp_path / "model/README.md").read_text().split("```python")[1].split("```")[0]
    made = {}
    exec(block.replace("THIS_FOLDER", str(tmp_path / "model")), made)
    ids, mask = padded([model.renderer.render(ASK, text).ids for text in TEXTS], made["tokenizer"].pad_token_id)
    with torch.inference_mode():
        plain = made["model"](input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    np.testing.assert_allclose(plain, before, atol=1e-5)
    np.testing.assert_allclose(rewards(folder.load(tmp_path / "model")), before, atol=1e-5)
    merged = merge(tmp_path / "model", tmp_path / "merged")
    assert merged.apart < 1e-4
    block = (merged.path / "README.md").read_text().split("```python")[1].split("```")[0]
    made = {}
    exec(block.replace("THIS_FOLDER", str(merged.path)), made)
    chats = [[*ASK, {"role": "assistant", "content": text}] for text in TEXTS]
    chats = [[getattr(each, "model_dump", lambda e=each: e)() for each in chat] for chat in chats]
    told = [made["reward"].tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
    found = [each["score"] for each in made["reward"](told, add_special_tokens=False)]
    np.testing.assert_allclose(found, before, atol=1e-4)


def test_the_demo_in_small(rewardkit, tmp_path, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    small = [
        f"workspace={tmp_path}",
        "judge.limit=6",
        "judge.rating_protocol=null",
        "train.max_examples=20",
        "train.epochs=1",
        "train.evaluations=1",
        "simulate.min_level_difference=4",
        "evaluate.baselines=[longer, shuffled_prompt, judge]",
    ]
    options = [word for item in small for word in ("--set", item)]
    ended = rewardkit("run", "configs/demo.yaml", *options)
    assert ended.code == 0, ended.err
    page = Path(ended.out.strip().splitlines()[-1])
    assert page.name == "report.html"
    numbers = json.loads((page.parent / "evaluation.json").read_text())
    assert numbers["simulated"]
    assert 0 <= numbers["model"]["measurement"]["accuracy"]["value"] <= 1
    trained = tmp_path / "runs" / "demo" / "train" / "model"
    (tmp_path / "ask.jsonl").write_text(
        json.dumps({"prompt": "A joke?", "response_a": TEXTS[0], "response_b": TEXTS[1]})
    )
    scored = rewardkit("score", str(trained), str(tmp_path / "ask.jsonl"))
    assert scored.code == 0, scored.err
    answer = json.loads(scored.out)
    assert answer["margin"] == pytest.approx(answer["reward_a"] - answer["reward_b"])
    assert 0 < answer["p_a"] < 1
