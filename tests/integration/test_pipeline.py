"""What `rewardkit run` promises: stages in order, skipped when complete and unchanged, run again when not."""

from __future__ import annotations

import json

import pytest

from rewardkit.jobs.preferences import read_preferences
from rewardkit.store.store import Store

STAGES = ("import", "simulate", "judge", "aggregate", "train", "calibrate", "evaluate")
RUNS = "w/runs/small"


def ran(ended):
    """Name the stages that were not skipped."""
    assert ended.code == 0, ended.err
    skipped = {line.partition(":")[0] for line in ended.err.splitlines() if line.endswith("complete and unchanged")}
    started = [line.partition("] ")[2] for line in ended.err.splitlines() if line.startswith("[")]
    return [stage for stage in started if stage in STAGES and stage not in skipped]


def test_a_run_ends_with_a_report(rewardkit, settings, write, here):
    ended = rewardkit("run", write(settings))
    assert ran(ended) == list(STAGES)
    report = here / ended.out.strip()
    assert report == here / RUNS / "evaluate/report.html"
    page = report.read_text(encoding="utf-8")
    assert "simulated" in page and "longer is better" in page
    for stage in STAGES:
        manifest = json.loads((here / RUNS / stage / "manifest.json").read_text())
        assert manifest["stage"] == stage and manifest["seed"] == 3 and manifest["versions"]["rewardkit"]
        assert not (here / RUNS / stage / "partial").exists()
    assert sorted(path.name for path in here.iterdir()) == ["job.yaml", "w"]


def test_a_second_run_skips_every_stage_and_touches_nothing(rewardkit, settings, write, finished, files):
    job = write(settings)
    before = files(finished)
    ended = rewardkit("run", job)
    assert ran(ended) == [] and files(finished) == before
    assert ended.out.strip().endswith("report.html")


def test_results_as_json_are_one_document(rewardkit, settings, write, finished):
    ended = rewardkit("run", write(settings), "--json")
    found = json.loads(ended.out)
    assert tuple(found) == STAGES
    assert found["evaluate"]["accuracy"]["n"] > 0 and found["judge"]["labels ok"] == 144


@pytest.mark.parametrize("verb", ["run", *STAGES[1:]])
def test_a_dry_run_writes_nothing(rewardkit, settings, write, here, files, verb):
    job = write(settings)
    before = files(here)
    ended = rewardkit(verb, job, "--dry-run")
    assert ended.code == 0 and files(here) == before and not (here / "w").exists()
    planned = [line.split()[0] for line in ended.out.splitlines()]
    assert planned == (list(STAGES) if verb == "run" else [verb])
    assert all("run (new)" in line for line in ended.out.splitlines())


def test_a_dry_run_says_roughly_how_long_a_stage_would_take_that_never_ran(rewardkit, settings, write, here):
    job = write(settings)
    without = [word for stage in ("train", "calibrate", "evaluate") for word in ("--set", f"{stage}=null")]
    assert rewardkit("run", job, *without).code == 0
    planned = {stage["stage"]: stage for stage in json.loads(rewardkit("run", job, "--dry-run", "--json").out)}
    assert planned["judge"]["seconds"] is not None and planned["judge"]["expected_seconds"] is None
    assert planned["train"]["seconds"] is None and planned["train"]["expected_seconds"] > 0
    assert planned["calibrate"]["expected_seconds"] is None and planned["calibrate"]["size"] == "known after train"


def test_a_dry_run_refuses_what_the_run_would(refused, settings, write):
    refused("run", write({**settings, "import": {"files": ["gone.jsonl"]}}), "--dry-run", says="gone.jsonl")


def test_a_dry_run_says_what_is_complete_and_how_long_it_took(rewardkit, settings, write, finished, files):
    job = write(settings)
    before = files(finished)
    ended = rewardkit("run", job, "--dry-run", "--set", "calibrate.method=temperature", "--set", "train.epochs=1")
    lines = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert [stage for stage in STAGES if lines[stage].startswith("skip")] == list(STAGES[:4])
    assert all(lines[stage].startswith("run (stale)") for stage in STAGES[4:])
    assert "48 comparisons, 1 epochs" in lines["train"] and "took" in lines["train"]
    assert files(finished) == before
    planned = json.loads(rewardkit("run", job, "--dry-run", "--json").out)
    assert [stage["state"] for stage in planned] == ["complete"] * 7


def test_another_learning_rate_runs_training_and_what_follows(rewardkit, settings, write, finished):
    job = write(settings)
    assert ran(rewardkit("run", job, "--set", "train.learning_rate=0.001")) == ["train", "calibrate", "evaluate"]
    assert ran(rewardkit("run", job, "--set", "train.learning_rate=0.001")) == []
    assert ran(rewardkit("run", job)) == ["train", "calibrate", "evaluate"]


def test_another_level_of_confidence_runs_the_evaluation_only(rewardkit, settings, write, finished):
    assert ran(rewardkit("run", write(settings), "--set", "evaluate.confidence=0.9")) == ["evaluate"]


def test_more_data_runs_all(rewardkit, settings, write, finished, here):
    more = {"prompt": "Say a word.", "response": "Word.", "scores": [], "meta": {"task": "fiction", "level": 1}}
    other = {**more, "response": "Another word.", "meta": {"task": "fiction", "level": 3}}
    (here / "more.jsonl").write_text("\n".join(map(json.dumps, (more, other))), encoding="utf-8")
    settings["import"]["files"].append("more.jsonl")
    assert ran(rewardkit("run", write(settings))) == list(STAGES)
    assert len(read_preferences(here / RUNS / "aggregate/preferences.jsonl")) == 73


def contents(path):
    with Store.open(path, create=False) as store:
        return store.counts(), store.digest("prompts", "responses", "comparisons", "annotators", "labels")


def test_a_deleted_database_is_filled_again_with_the_same(rewardkit, settings, write, finished, here):
    database = here / "w/rewardkit.db"
    before = contents(database)
    for file in here.glob("w/rewardkit.db*"):
        file.unlink()
    # What follows the store depends on what is in it, and that is the same.
    assert ran(rewardkit("run", write(settings))) == ["import", "simulate", "judge"]
    assert contents(database) == before


def test_training_again_by_force_leaves_a_calibrated_model(rewardkit, settings, write, finished, here):
    job = write(settings)
    assert rewardkit("train", job, "--force").code == 0
    ended = rewardkit("run", job)
    assert "calibrate" in ran(ended)
    assert (here / RUNS / "train/model/reward_calibration.json").is_file()


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("train/model", ["train", "calibrate", "evaluate"]),
        ("train/model/reward_calibration.json", ["calibrate", "evaluate"]),
        ("aggregate/preferences.jsonl", ["aggregate"]),
        ("evaluate/report.html", ["evaluate"]),
    ],
)
def test_an_output_that_was_lost_is_made_again(rewardkit, settings, write, finished, here, lost, again):
    path = here / RUNS / lost
    if path.is_dir():
        path.rename(here / "lost")
    else:
        path.unlink()
    assert ran(rewardkit("run", write(settings))) == again
    assert path.exists()


def test_the_model_that_was_trained_scores_a_stream(rewardkit, settings, write, finished, here):
    rows = [{"id": 1, "prompt": "Tell a joke.", "response": "No."}, {"response_a": "Yes.", "response_b": "No."}]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ended = rewardkit("score", here / RUNS / "train/model", "rows.jsonl")
    first, second = map(json.loads, ended.out.splitlines())
    assert ended.code == 0 and first["id"] == 1 and isinstance(first["reward"], float)
    assert 0 < second["p_a"] < 1 and second["margin"] == second["reward_a"] - second["reward_b"]
