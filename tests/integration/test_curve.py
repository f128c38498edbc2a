"""The learning curve on a tiny random model: its flow, and that an interrupted one does nothing twice."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow
CURVE = "w/runs/small/curve"


@pytest.fixture
def asked(settings, write):
    settings["curve"] = {"sizes": [12, 24, 5000]}
    return write(settings)


def test_each_size_is_measured_beside_what_needs_no_training(rewardkit, finished, here, asked):
    planned = rewardkit("curve", asked, "--dry-run")
    assert planned.code == 0 and "models on 12, 24, 48 comparisons" in planned.out
    ended = rewardkit("curve", asked)
    assert ended.code == 0, ended.err
    found = json.loads((here / CURVE / "curve.json").read_text())
    assert [point["n_train"] for point in found["points"]] == [12, 24, 48]
    assert {point["n"] for point in found["points"]} == {12}
    assert set(found["beside"]) == {"longer is better", "judge alone"}
    picture = (here / CURVE / "curve.svg").read_text()
    assert "comparisons learned from" in picture and "judge alone" in picture
    # The last is what `train`, `calibrate` and `evaluate` say of all comparisons.
    page = json.loads((here / "w/runs/small/evaluate/evaluation.json").read_text())
    told = page["model"]["measurement"]["log_loss"]["value"]
    assert found["points"][-1]["log_loss"]["value"] == pytest.approx(told, abs=1e-5)
    assert "curve: complete and unchanged" in rewardkit("curve", asked).err


def test_what_was_measured_before_an_interruption_is_not_measured_again(rewardkit, finished, here, asked, monkeypatch):
    from rewardkit.jobs import curving

    real, sizes = curving._predicted, []

    def fragile(job, examples, size, folder):
        sizes.append(size)
        if size == 24 and sizes.count(24) == 1:
            raise KeyboardInterrupt
        return real(job, examples, size, folder)

    monkeypatch.setattr(curving, "_predicted", fragile)
    assert rewardkit("curve", asked).code == 130
    ended = rewardkit("curve", asked)
    assert ended.code == 0, ended.err
    assert sizes == [12, 24, 24, 48]
    assert not (here / CURVE / "partial").exists()


def test_another_way_to_train_is_another_curve(rewardkit, finished, asked):
    assert rewardkit("curve", asked).code == 0
    ended = rewardkit("curve", asked, "--set", "train.learning_rate=0.001")
    assert ended.code == 0 and "curve: 12 comparisons" in ended.err


def test_a_model_learns_from_judges_alone(rewardkit, finished, here, asked):
    ended = rewardkit("aggregate", asked, "--set", "aggregate.method=judges_alone")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (here / "w/runs/small/aggregate/preferences.jsonl").read_text().splitlines()]
    worth = json.loads((here / "w/runs/small/aggregate/diagnostics.json").read_text())["judge_weight"]
    for row in rows:
        said = row["preference"]
        if worth == 0:
            assert said["sample_weight"] == 0
        else:
            assert (said["p_a"] > 0.5) == (said["judge_p_a"] > 0.5)
