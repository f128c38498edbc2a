"""What a stage will cost: which texts and weights count, and when nothing can be told."""

from __future__ import annotations

import pytest

from rewardkit.jobs import costs
from rewardkit.jobs.costs import Work, characters
from rewardkit.jobs.stages import expected
from rewardkit.types import Message, PreferenceExample, SoftPreference


def example(prompt, response_a, response_b):
    preference = SoftPreference(
        comparison_id="c", p_a=0.5, sample_weight=1, n_human=1, human_p_a=1.0, method="m", split="train", unit="u"
    )
    return PreferenceExample(
        preference=preference,
        prompt=(Message(role="user", content=prompt),),
        response_a=response_a,
        response_b=response_b,
    )


def test_a_text_that_stands_in_several_comparisons_counts_once():
    assert characters([example("12", "345", "6")]) == 2 + 3 + 1
    assert characters([example("12", "345", "6"), example("12", "6", "789")]) == 2 + 3 + 1 + 3
    assert characters([example("12", "345", "6"), example("99", "345", "6")]) == 2 * (2 + 3 + 1)


def test_time_follows_the_text_the_model_and_the_machine(tiny_model, monkeypatch):
    monkeypatch.setattr(costs, "matmul_speed", lambda dtype: {"auto": 1e6, "float32": 5e5}[dtype])
    model = str(tiny_model())
    once = Work(model, "auto", read=1000).seconds()
    assert once > 0
    assert Work(model, "auto", read=3000).seconds() == pytest.approx(3 * once)
    assert Work(model, "auto", read=1000, share=2 * costs.SCORING).seconds() == pytest.approx(once / 2)
    # Twice the operations, at the share of training.
    learnt = Work(model, "auto", learnt=1000).seconds()
    assert learnt == pytest.approx(2 * once * costs.SCORING / costs.LEARNING)
    written = Work(model, "auto", read=1000, written=500).seconds()
    assert written == pytest.approx(once * (1 + 0.5 * costs.SCORING / costs.WRITING))
    assert Work(model, "float32", read=1000).seconds() == pytest.approx(2 * once)
    assert Work(str(tiny_model(layers=3)), "auto", read=1000).seconds() > 2 * once


def test_only_weights_that_every_token_meets_count(tiny_model):
    from transformers import AutoModelForCausalLM

    folder = tiny_model()
    layers = AutoModelForCausalLM.from_pretrained(folder).model.layers
    weights = sum(weight.numel() for weight in layers.parameters() if weight.ndim == 2)
    assert costs._parameters(folder) == weights


def test_a_machine_has_a_speed():
    assert costs.matmul_speed("float32") > 1e7


@pytest.mark.parametrize("damage", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 64])
def test_nothing_is_told_of_weights_that_are_damaged_or_of_another_kind(tiny_model, damage):
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(damage)
    assert Work(str(folder), "auto", read=1).seconds() is None
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert Work(str(folder), "auto", read=1).seconds() is None


def test_nothing_is_told_of_a_model_that_is_not_here(tmp_path):
    assert Work(str(tmp_path / "gone"), "auto", read=1).seconds() is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (3.2, "; about 3 s here"), (89, "; about 89 s here"), (150, "; about 2 min here")]
)
def test_estimates_in_words(seconds, text):
    assert expected(seconds) == text
