"""Bad configs, missing results and places that cannot be written, at every verb that takes a config."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

VERBS = ("simulate", "judge", "aggregate", "train", "calibrate", "evaluate", "run")
STORE_VERBS = ("simulate", "judge", "aggregate")


@pytest.mark.parametrize("verb", [*VERBS, "doctor"])
def test_a_missing_config(refused, verb):
    refused(verb, "gone.yaml", says=("gone.yaml: the config file does not exist", "check the path"))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sead=1", ("unknown key 'sead'", "did you mean 'seed'?")),
        ("train.learning_rat=1", ("unknown key 'train.learning_rat'", "did you mean 'learning_rate'?")),
        ("aggregate.split.tran=1", ("unknown key 'aggregate.split.tran'", "did you mean 'train'?")),
        ("imports={}", ("unknown key 'imports'", "did you mean 'import'?")),
        ("train.learning_rate=fast", ("train.learning_rate", "'fast'")),
        ("train.epochs=.nan", "train.epochs"),
        ("name=a/b", "name"),
        ("aggregate.split.test=0.9", ("sum to 1", "1.7")),
        ("seed.x=1", "'seed' is not a section"),
        ("seed", ("cannot read 'seed'", "a.b=value")),
        ("seed={", "not valid YAML"),
    ],
)
def test_a_wrong_key_or_value(refused, settings, write, verb, key, says):
    refused(verb, write(settings), "--set", key, says=says)


@pytest.mark.parametrize(
    "content", [b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"seed: 1\nseed: 2\n", b"just words"], ids=range(5)
)
def test_a_config_that_is_none(refused, here, content):
    (here / "job.yaml").write_bytes(content)
    for verb in ("train", "run", "doctor"):
        refused(verb, "job.yaml", says="job.yaml")


@pytest.mark.parametrize("verb", VERBS[:-1])
def test_a_config_without_the_verbs_section(refused, settings, write, verb):
    del settings[verb]
    refused(verb, write(settings), says=(f"no section {verb!r}", f"add {verb}:"))
    refused(verb, write(settings), "--dry-run", says=f"no section {verb!r}")


def test_a_pipeline_of_nothing(refused, write):
    refused("run", write({"name": "empty"}), says=("no section", "import, generate, simulate, judge"))
    refused("run", write({"name": "empty"}), "--dry-run", says="no section")


@pytest.mark.parametrize("verb", STORE_VERBS)
def test_a_database_that_is_not_there(refused, settings, write, verb):
    refused(verb, write(settings), says=("w/rewardkit.db", "no database", "rewardkit import"))


@pytest.mark.parametrize("verb", [*STORE_VERBS, "run"])
def test_a_database_of_another_program(refused, settings, write, here, verb):
    with closing(sqlite3.connect(here / "foreign.db")) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    refused(verb, write({**settings, "db": "foreign.db"}), says=("foreign.db", "another program", "songs"))


@pytest.mark.parametrize(("verb", "stage"), [("train", "aggregate"), ("calibrate", "aggregate"), ("evaluate", "train")])
def test_a_stage_whose_input_was_not_made(refused, settings, write, verb, stage):
    says = (f"needs the result of the stage {stage!r}", f"rewardkit {stage} CONFIG", "rewardkit run CONFIG")
    refused(verb, write(settings), says=says)


def test_an_evaluation_of_what_was_not_calibrated(refused, settings, write, finished, here):
    (here / "w/runs/small/calibrate/manifest.json").unlink()
    refused("evaluate", write(settings), says="needs the result of the stage 'calibrate'")


@pytest.mark.parametrize("verb", ["aggregate", "train", "calibrate", "evaluate", "run"])
def test_a_workspace_below_a_file(refused, settings, write, finished, here, verb):
    (here / "file").write_text("no folder")
    for stage in ("train", "calibrate", "evaluate"):
        settings[stage] = settings[stage] or {}
    job = write({**settings, "workspace": "file/w", "db": "w/rewardkit.db"})
    refused(verb, job, says="file")


def test_a_missing_input_file(refused, settings, write):
    settings["import"]["files"] = ["gone.jsonl"]
    refused("run", write(settings), says=("gone.jsonl: no such file", "import.files"))


@pytest.mark.parametrize(
    ("verb", "key", "says"),
    [
        ("judge", "judge.backend=fak", ("'fak'", "did you mean 'fake'?")),
        ("judge", "judge.protocol=pairwize.v1", ("'pairwize.v1'", "did you mean 'pairwise.v1'?")),
        ("judge", "judge.protocol=rating.v1", "a protocol for ratings"),
        ("judge", "judge.rubric=ficton", ("ficton", "fiction")),
        ("judge", "judge.rubric=job.yaml", "job.yaml"),
        ("aggregate", "aggregate.method=anchord", ("'anchord'", "did you mean 'anchored'?")),
        ("train", "train.loss=bradley_tery", ("'bradley_tery'", "did you mean 'bradley_terry'?")),
        ("calibrate", "calibrate.method=temprature", ("'temprature'", "did you mean 'temperature'?")),
        ("simulate", "simulate.level=quality", ("metadata.quality", "simulate.level")),
    ],
)
def test_a_name_that_is_not_registered(refused, settings, write, finished, verb, key, says):
    refused(verb, write(settings), "--set", key, says=says)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("judge.backend=fak", "did you mean 'fake'?"),
        ("judge.protocol=pairwize.v1", "did you mean 'pairwise.v1'?"),
        ("judge.rating_protocol=pairwise.v1", "a protocol for preferences"),
        ("judge.rubric=ficton", "ficton"),
        ("aggregate.method=anchord", "did you mean 'anchored'?"),
        ("train.loss=bradley_tery", "did you mean 'bradley_terry'?"),
        ("calibrate.method=temprature", "did you mean 'temperature'?"),
        ("evaluate.report=report.pdf", "evaluate.report"),
    ],
)
def test_a_pipeline_with_a_wrong_name_does_not_begin(refused, settings, write, here, key, says):
    for more in ((), ("--dry-run",)):
        refused("run", write(settings), "--set", key, *more, says=says)
    assert not (here / "w").exists()


def test_too_few_prompts_to_divide(refused, settings, write, finished):
    shares = "{train: 0.0, validation: 0.0, calibration: 0.001, test: 0.999}"
    refused("aggregate", write(settings), "--set", f"aggregate.split={shares}", says=("calibration", "fraction"))


def test_nothing_to_train_or_calibrate_on(refused, rewardkit, settings, write, finished):
    settings["aggregate"]["split"] = {"train": 0.0, "validation": 0.0, "calibration": 0.0, "test": 1.0}
    job = write(settings)
    assert rewardkit("aggregate", job).code == 0
    refused("train", job, says=("no comparison of the split 'train'", "aggregate.split"))
    refused("calibrate", job, says=("has read another preferences.jsonl", "rewardkit train CONFIG"))


def test_a_model_is_not_measured_on_what_it_was_trained_on(refused, rewardkit, settings, write, finished):
    # Divided anew, the test split holds comparisons that the model has seen.
    settings["aggregate"]["split"] = {"train": 0.4, "validation": 0.1, "calibration": 0.2, "test": 0.3}
    job = write(settings)
    assert rewardkit("aggregate", job).code == 0
    for verb in ("calibrate", "evaluate"):
        refused(verb, job, says=("'train' has read another preferences.jsonl", "rewardkit train CONFIG"))
    assert rewardkit("train", job).code == 0
    refused("evaluate", job, says="rewardkit calibrate CONFIG")
    assert rewardkit("calibrate", job).code == 0 and rewardkit("evaluate", job).code == 0


def test_a_calibration_of_another_model_is_not_used(refused, rewardkit, settings, write, finished, here):
    kept = here / "w/runs/small/train/model/reward_calibration.json"
    text = kept.read_text()
    job = write(settings)
    assert rewardkit("train", job, "--set", "train.learning_rate=0.01").code == 0
    # As if it had been copied to the new model by hand.
    kept.write_text(text)
    refused("evaluate", job, says=("'calibrate' has read another model", "rewardkit calibrate CONFIG"))


def test_a_training_that_diverges_replaces_no_model(rewardkit, settings, write, finished, here, files):
    before = files(here / "w/runs/small/train/model")
    ended = rewardkit("train", write(settings), "--set", "train.learning_rate=1e30")
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "training diverged" in ended.err and "lower train.learning_rate, which is 1e+30" in ended.err
    assert files(here / "w/runs/small/train/model") == before


def test_a_manifest_that_is_torn(refused, settings, write, finished, here):
    (here / "w/runs/small/aggregate/manifest.json").write_text('{"stage": ')
    for verb in ("aggregate", "train", "run"):
        refused(verb, write(settings), says=("manifest.json", "delete this file"))


def test_preferences_that_are_torn(refused, settings, write, finished, here):
    with (here / "w/runs/small/aggregate/preferences.jsonl").open("ab") as file:
        file.write(b'{"preference": ')
    refused("train", write(settings), says=("preferences.jsonl:73", "rewardkit aggregate"))


def test_judges_that_fail_too_often_are_a_failure_and_no_users_error(rewardkit, settings, write, finished):
    ended = rewardkit("judge", write(settings), "--set", "judge.max_tokens=20")
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "judgements failed" in ended.err and "longer than max_tokens" in ended.err


def test_the_doctor_names_a_bad_database_and_goes_on(rewardkit, settings, write, here):
    (here / "notes.txt").write_text("no database at all, but a text of some length")
    ended = rewardkit("doctor", write({**settings, "db": "notes.txt"}))
    assert ended.code == 2 and "problem  database" in ended.out and "no database" in ended.out
