"""Real recorded judges, replayed through the judge's job: what comes out is what was recorded."""

from __future__ import annotations

import json

import pytest

from rewardkit.store.store import Store

JUDGES = ("GPT-4/Vanilla_NoRules", "PaLM2/Metrics_Reference")


@pytest.mark.parametrize("judge", JUDGES)
def test_replayed_verdicts_are_the_recorded_ones(judge, shared_data, rewardkit, tmp_path):
    file = shared_data / "mtbench_llmeval_faireval.jsonl"
    database = tmp_path / "rewardkit.db"
    assert rewardkit("import", file, "--to", database).code == 0
    section = {"backend": "replay", "model": judge, "rubric": "hhh", "max_failure_rate": 1.0}
    section["replay"] = {"files": [str(file)]}
    path = tmp_path / "judge.yaml"
    path.write_text(json.dumps({"name": "r", "workspace": str(tmp_path), "judge": section}))
    ended = rewardkit("judge", path, "--json")
    assert ended.code == 0, ended.err
    with Store.open(database, create=False) as store:
        names = {who.id: who for who in store.annotators().values()}
        labels = [(names[label.annotator_id], label) for label in store.labels()]
        comparisons = store.counts()["comparisons"]
    recorded = {(each.comparison_id, each.order_shown): said(each) for who, each in labels if who.name == judge}
    again = [each for who, each in labels if who.name.startswith(f"{judge}/pairwise.v1/")]
    replayed = {(each.comparison_id, each.order_shown): said(each) for each in again if each.status == "ok"}
    assert len(recorded) > 800 and replayed == recorded
    missing = [each for each in again if each.status == "failed"]
    assert all(each.reason.startswith("not recorded") for each in missing) and len(again) == 2 * comparisons


def said(label):
    sure = {"a": 1.0, "b": 0.0, "tie": 0.5}
    return label.choice, pytest.approx(sure[label.choice] if label.p_a is None else label.p_a, abs=1e-12)


def test_a_record_that_grows_is_read_again(rewardkit, tmp_path):
    recorded, database = tmp_path / "recorded.jsonl", tmp_path / "rewardkit.db"
    labels = [{"annotator": "old", "source": "judge", "order": order, "preference": 0.75} for order in ("ab", "ba")]
    row = {"prompt": "Weather?", "response_a": "Sun.", "response_b": "Rain.", "labels": labels[:1]}
    recorded.write_text(json.dumps(row) + "\n")
    assert rewardkit("import", recorded, "--to", database).code == 0
    section = {"backend": "replay", "model": "old", "rubric": "joke", "max_failure_rate": 1.0}
    section["replay"] = {"files": [str(recorded)]}
    path = tmp_path / "judge.yaml"
    path.write_text(json.dumps({"name": "r", "workspace": str(tmp_path), "judge": section}))
    assert json.loads(rewardkit("judge", path, "--json").out)["labels failed"] == 1
    assert "complete and unchanged" in rewardkit("judge", path).err
    recorded.write_text(json.dumps({**row, "labels": labels}) + "\n")
    told = json.loads(rewardkit("judge", path, "--json").out)
    assert told["labels ok"] == 2 and "labels failed" not in told
