"""What a model's README says: counts and figures of this model, and no figure that nobody measured."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rewardkit.calibration.calibrators import fit_calibration
from rewardkit.calibration.evaluation import measure
from rewardkit.config import TrainConfig
from rewardkit.jobs.model_readme import write_readme
from rewardkit.types import PreferenceExample, SoftPreference


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    from rewardkit.reward_model import folder

    path = tmp_path_factory.mktemp("reward") / "model"
    config = TrainConfig(model=str(tiny_model()), max_length=64, members=2, epochs=3)
    folder.save(folder.create(config, seed=4), path)
    return path


def example(number, split, **fields):
    preference = SoftPreference(
        comparison_id=str(number),
        p_a=0.7,
        sample_weight=1.0,
        method="test",
        split=split,
        unit=f"u{number // 2}",
        **fields,
    )
    return PreferenceExample(
        preference=preference, prompt=(), response_a="x", response_b="y", task="poem", simulated=number == 0
    )


def test_what_was_counted_and_measured(model):
    examples = [example(0, "train", n_human=2), example(1, "train", n_judge=1), example(2, "test", n_human=1)]
    write_readme(model, "poems", examples)
    before = (model / "README.md").read_text()
    assert "# poems: a reward model" in before and "2 members share the base" in before and "3 epochs" in before
    assert "| train | 2 | 1 | 1 | 1 | 1 |" in before and "| test | 1 | 1 | 1 | 0 | 0 |" in before
    assert "Tasks: poem (3)." in before and "say nothing about people" in before
    assert "Not evaluated yet" in before and "Not calibrated" in before and "accuracy" not in before
    assert "PeftModel.from_pretrained" in before and "base_model" not in before
    fit_calibration(
        "temperature",
        [1.0, -1.0, 2.0, 1.0],
        [1.0, 0.0, 1.0, 0.0],
        comparison_ids=list("abcd"),
        units=list("abcd"),
        created_at=datetime(2026, 3, 4, tzinfo=UTC),
    ).save(model)
    measured = measure([0.8, 0.3, 0.6, 0.9], [1.0, 0.0, 0.0, 1.0], units=["a", "b", "c", "d"])
    write_readme(model, "poems", examples, measured)
    after = (model / "README.md").read_text()
    assert "On 4 held-out comparisons with human labels (4 prompts" in after
    assert f"- accuracy: 0.750 ({measured.accuracy.low:.3f} to {measured.accuracy.high:.3f}, n = 4)" in after
    assert "Calibrated on 2026-03-04 by temperature on held-out human labels (4 comparisons" in after
    assert "Not evaluated" not in after and "Not calibrated" not in after
