"""Ratings, from the file to the page: pairs are formed of one criterion, all of them are learned and told."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow
RUN = "w/runs/rated"


@pytest.fixture
def job(here, write, tiny):
    rows = []
    for number in range(96):
        scores = {"wit": 1 + number % 5, "form": 1 + number % 3}
        people = [{"annotator": who, "criteria": scores, "scale": [1, 5]} for who in ("ann", "ben")]
        rows.append({"prompt": f"Prompt {number // 4}.", "response": f"Text {number} " * 3, "scores": people})
    (here / "ratings.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return write(
        {
            "name": "rated",
            "workspace": "w",
            "import": {"files": ["ratings.jsonl"], "pairs": {"criterion": "wit"}},
            "aggregate": {"split": {"train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2}},
            "train": {
                "model": str(tiny),
                "max_length": 120,
                "epochs": 1,
                "lora": {"r": 2},
                "criteria": ["wit", "form"],
                "members": 2,
            },
            "calibrate": {},
            "evaluate": {"baselines": ["longer"]},
        }
    )


def test_from_the_file_to_the_page(rewardkit, job, here):
    ended = rewardkit("run", job)
    assert ended.code == 0, ended.err
    told = json.loads((here / RUN / "aggregate/diagnostics.json").read_text())["ratings"]
    assert told["wit"]["responses"] == told["wit"]["by_human"] == 96 and told["form"]["judge_note"]
    found = json.loads((here / RUN / "evaluate/evaluation.json").read_text())["criteria"]
    assert [row["name"] for row in found] == ["wit", "form"]
    assert all(row["correlation"]["n"] > 3 for row in found)
    page = (here / RUN / "evaluate/report.html").read_text()
    assert "Rank correlation with people’s ratings" in page and "What it says on single criteria" in page
    readme = (here / RUN / "train/model/README.md").read_text()
    assert "It also rates `form` from 0 to 1" in readme and "2 members share the base" in readme
    (here / "ask.jsonl").write_text('{"prompt": "A joke?", "response_a": "No.", "response_b": "Yes, two."}\n')
    answer = json.loads(rewardkit("score", here / RUN / "train/model", "ask.jsonl").out)
    assert set(answer["criteria_a"]) == set(answer["criteria_b"]) == {"wit", "form"}
    assert answer["disagreement"] > 0 and answer["spread_a"] > 0
    assert "response: shorter" in answer["unlike"]


def test_a_criterion_that_is_not_there_is_refused_with_the_names(rewardkit, job, here):
    assert rewardkit("run", job, "--set", "train=null", "--set", "calibrate=null", "--set", "evaluate=null").code == 0
    ended = rewardkit("train", job, "--set", "train.criteria=[charm]")
    assert ended.code == 2 and "a rating on 'charm' that counts" in ended.err
    assert not (here / RUN / "train/model").exists()
