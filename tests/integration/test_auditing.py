"""The stage `audit` as a user meets it: planned, run, skipped, run again when the labels are others, refused."""

from __future__ import annotations

import json

import pytest

ROWS = [
    {
        "prompt": f"prompt {i}",
        "response_a": f"one {i}",
        "response_b": f"another {i}",
        "labels": [
            {"annotator": "kim", "preference": "a", "rater_group": "staff"},
            {"annotator": "expert1", "preference": "b"},
            {"annotator": "expert2", "preference": "b"},
            {"annotator": "gpt-4/plain", "source": "judge", "preference": "b", "order": "ab"},
            {"annotator": "gpt-4/plain", "source": "judge", "preference": "b", "order": "ba"},
            {"annotator": "llama-2/plain", "source": "judge", "preference": 0.8, "order": "ab"},
        ],
    }
    for i in range(20)
]


@pytest.fixture
def job(rewardkit, tmp_path, monkeypatch):
    """A config of an audit, and a database with two judges and three people."""
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert rewardkit("import", rows, "--to", "w/rewardkit.db").code == 0
    config = tmp_path / "job.yaml"
    config.write_text("name: small\nworkspace: w\naudit: {resamples: 100, rater_groups: {experts: expert*}}\n")
    return config


def numbers(tmp_path):
    return json.loads((tmp_path / "w/runs/small/audit/audit.json").read_text())


def test_it_is_planned_run_and_skipped(rewardkit, job, tmp_path):
    planned = rewardkit("audit", job, "--dry-run")
    assert "run (new)" in planned.out and "2 judges, among 120 labels and 0 ratings" in planned.out
    assert not (tmp_path / "w/runs").exists()
    ended = rewardkit("audit", job, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["judge gpt-4/plain"]["accuracy"]["value"] == 1 and told["judge llama-2/plain"]["accuracy"]["n"] == 20
    assert told["report"].endswith("audit.html") and (tmp_path / told["report"]).exists()
    judge = numbers(tmp_path)["judges"][0]
    groups = {part["name"]: part["accuracy"]["estimate"]["value"] for part in judge["pairs"]["by_group"]}
    assert groups == {"experts": 1.0, "staff": 0.0} and judge["disagreements"][0]["certain"]
    again = rewardkit("audit", job)
    assert "complete and unchanged" in again.err
    assert "skip" in rewardkit("audit", job, "--dry-run").out


def test_new_labels_make_it_stale_and_the_seed_does_too(rewardkit, job, tmp_path):
    assert rewardkit("audit", job).code == 0
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({**ROWS[0], "labels": [{"annotator": "lee", "preference": "a"}]}) + "\n")
    assert "run (stale)" in rewardkit("audit", job, "--dry-run", "--set", "audit.seed=5").out
    assert rewardkit("import", more, "--to", "w/rewardkit.db").code == 0
    assert "run (stale)" in rewardkit("audit", job, "--dry-run").out


def test_judges_are_picked_by_name_or_model(rewardkit, job, tmp_path):
    assert rewardkit("audit", job, "--set", "audit.judges=LLAMA-2").code == 0
    assert [judge["name"] for judge in numbers(tmp_path)["judges"]] == ["llama-2/plain"]
    ended = rewardkit("audit", job, "--set", "audit.judges=[gpt-5*]")
    assert ended.code == 2 and "no judge has the name or model 'gpt-5*'" in ended.err
    assert "gpt-4/plain, llama-2/plain" in ended.err


def test_without_judges_or_section_it_says_what_to_do(rewardkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({**ROWS[0], "labels": ROWS[0]["labels"][:3]}) + "\n")
    assert rewardkit("import", rows, "--to", "w/rewardkit.db").code == 0
    config = tmp_path / "job.yaml"
    config.write_text("name: small\nworkspace: w\naudit: {}\n")
    ended = rewardkit("audit", config)
    assert ended.code == 2 and "no judge has labelled or rated anything" in ended.err and "fix:" in ended.err
    ended = rewardkit("audit", config, "--set", "audit=null")
    assert ended.code == 2 and "no section 'audit'" in ended.err


def test_a_run_ends_with_the_audit_only_where_it_is_asked_for(rewardkit, job):
    ended = rewardkit("run", job)
    assert ended.code == 0 and ended.out.strip().endswith("audit.html")
    split = "aggregate={split: {train: 0.7, validation: 0, calibration: 0, test: 0.3}}"
    ended = rewardkit("run", job, "--set", split, "--set", "audit=null", "--json")
    assert ended.code == 0 and list(json.loads(ended.out)) == ["aggregate"]


def test_simulated_people_are_called_so(rewardkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = [{"annotator": "persona", "preference": "a", "simulated": True}, ROWS[0]["labels"][3]]
    (tmp_path / "rows.jsonl").write_text(json.dumps({**ROWS[0], "labels": labels}) + "\n")
    assert rewardkit("import", "rows.jsonl", "--to", "w/rewardkit.db").code == 0
    (tmp_path / "job.yaml").write_text("name: small\nworkspace: w\naudit: {}\n")
    assert rewardkit("audit", "job.yaml").code == 0
    assert "1 of the human annotators in the database are simulated" in numbers(tmp_path)["simulated"]
