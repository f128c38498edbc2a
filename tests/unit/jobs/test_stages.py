"""When a stage runs, when it is skipped, and what an interruption leaves: with a stage of two lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError, JobFailed, MissingExtraError, OutputError, UserError
from rewardkit.jobs.pipeline import STAGES, plan, plan_one, stages_of
from rewardkit.jobs.stages import Job, Stage, run_stage
from rewardkit.store.store import Store
from rewardkit.types import Message, Prompt


class Work:
    """Counts its runs; writes one output; fails as it is told."""

    def __init__(self):
        self.runs, self.inputs, self.error = 0, {"data": "1"}, None

    def __call__(self, job, folder):
        self.runs += 1
        self.resumed = (folder.partial / "half").exists()
        folder.partial.mkdir(exist_ok=True)
        (folder.partial / "half").write_text("half")
        if self.error is not None:
            raise self.error
        (folder.path / "result").write_text(str(self.runs))
        return {"runs": self.runs}

    def stage(self, **fields):
        values = {
            "name": "calibrate",
            "section": "calibrate",
            "rooms": ("errors",),
            "inputs": lambda job: self.inputs,
            "work": self,
            "size": lambda job: "one thing",
        }
        return Stage(**{**values, **fields})


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def job(tmp_path):
    def build(**fields):
        return Job(JobConfig.model_validate({"workspace": tmp_path, "calibrate": {}, **fields}))

    return build


def test_a_stage_runs_once_and_is_then_skipped(work, job, capsys):
    stage, first = work.stage(), job()
    assert stage.state(first) == "new"
    manifest = run_stage(stage, first)
    assert (manifest.summary, manifest.inputs, manifest.seed) == ({"runs": 1}, {"data": "1"}, 0)
    assert stage.state(first) == "complete" and run_stage(stage, first) == manifest and work.runs == 1
    assert capsys.readouterr().err.splitlines() == [
        "calibrate: one thing",
        "calibrate: done in 0 s",
        "calibrate: complete and unchanged",
    ]


def test_force_runs_it_again(work, job):
    run_stage(work.stage(), job())
    assert run_stage(work.stage(), job(), force=True).summary == {"runs": 2}


@pytest.mark.parametrize("change", ["inputs", "config", "code", "seed"])
def test_whatever_the_result_depends_on_makes_it_stale(work, job, change):
    run_stage(work.stage(), job())
    stage, now = work.stage(), job()
    if change == "inputs":
        work.inputs = {"data": "2"}
    elif change == "config":
        now = job(calibrate={"method": "other"})
    elif change == "code":
        stage = work.stage(rooms=("errors", "types"))
    else:
        now = job(seed=1)
    assert stage.state(now) == "stale"
    assert run_stage(stage, now).summary == {"runs": 2} and stage.state(now) == "complete"


def test_what_other_stages_are_told_changes_nothing(work, job):
    run_stage(work.stage(), job())
    assert work.stage().state(job(train={"epochs": 9}, name="default", evaluate={})) == "complete"


def test_an_interrupted_stage_resumes_from_what_is_half_done(work, job):
    stage = work.stage()
    work.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, job())
    assert stage.state(job()) == "interrupted" and not work.resumed
    work.error = None
    run_stage(stage, job())
    assert work.resumed and not job().folder("calibrate").partial.exists()


def test_what_an_other_fingerprint_left_half_done_is_dropped(work, job):
    work.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_stage(work.stage(), job(seed=1))
    work.error = None
    run_stage(work.stage(), job(seed=2))
    assert not work.resumed


@pytest.mark.parametrize(
    ("error", "left"),
    [(DataError("bad"), "complete"), (OutputError("full"), "interrupted"), (JobFailed("no"), "interrupted")],
)
def test_a_refused_run_leaves_what_was_complete(work, job, error, left):
    run_stage(work.stage(), job())
    work.error = error
    with pytest.raises(type(error)):
        run_stage(work.stage(), job(seed=5))
    # Whoever could not write, or failed half way, may have replaced an output.
    assert work.stage().state(job()) == left


def test_a_refused_first_run_is_not_complete(work, job):
    work.error = DataError("bad")
    with pytest.raises(DataError):
        run_stage(work.stage(), job())
    assert work.stage().state(job()) == "interrupted"


def test_a_lost_output_makes_it_stale(work, job):
    stage = work.stage(outputs=lambda job: [job.folder("calibrate").path / "result"])
    run_stage(stage, job())
    assert stage.state(job()) == "complete"
    (job().folder("calibrate").path / "result").unlink()
    assert stage.state(job()) == "stale"


def test_inputs_that_cannot_be_had_make_it_stale_and_are_told_when_it_runs(work, job):
    run_stage(work.stage(), job())

    def gone(_):
        raise UserError("the input is gone")

    stage = work.stage(inputs=gone)
    assert stage.state(job()) == "stale"
    with pytest.raises(UserError, match="gone"):
        run_stage(stage, job())


def test_a_stage_that_fills_the_store_needs_its_records_there(work, job):
    def fill(job, folder):
        with Store.open(job.config.database) as store:
            store.add([Prompt.of((Message(role="user", content="Why?"),))])
        return {}

    stage = work.stage(work=fill, fills_store=True)
    assert run_stage(stage, job()).store["prompts"] == 1
    assert stage.state(job()) == "complete"
    Path(job().config.database).unlink()
    assert stage.state(job()) == "stale"
    Store.open(job().config.database).close()
    assert stage.state(job()) == "stale"
    run_stage(stage, job())
    assert stage.state(job()) == "complete" and stage.state(job(db=str(job().config.workspace / "o.db"))) == "stale"


def test_a_missing_section_or_extra_is_told_before_anything_is_written(work, job, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no section 'import'"):
        run_stage(work.stage(section="import_"), job())
    monkeypatch.setattr("rewardkit.extras.EXTRAS", {"odd": ("a_package_that_is_not_there",)})
    with pytest.raises(MissingExtraError, match="a_package_that_is_not_there"):
        run_stage(work.stage(extra="odd"), job())
    assert not (tmp_path / "runs").exists() and work.runs == 0


def test_an_output_of_an_unfinished_stage_is_asked_for(work, job):
    with pytest.raises(UserError, match="rewardkit calibrate CONFIG"):
        job().output("calibrate", "result")
    run_stage(work.stage(), job())
    assert job().output("calibrate", "result").read_text() == "1"
    with pytest.raises(UserError, match="has not finished"):
        job().output("calibrate", "other")


def test_a_file_that_a_url_names_may_be_gone(tmp_path):
    file = tmp_path / "a.db"
    job = Job(JobConfig(workspace=tmp_path, db=f"sqlite:///{file}"))
    assert job.store_counts() == {}
    with Store.open(file) as store:
        store.add([Prompt.of((Message(role="user", content="x"),))])
    assert job.store_counts()["prompts"] == 1


def emptied(database):
    if "://" not in database:
        Path(database).write_bytes(b"")
        return
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def test_a_database_that_was_emptied_is_filled_again(work, job, database_url):
    def fill(job, folder):
        with Store.open(job.config.database) as store:
            store.add([Prompt.of((Message(role="user", content="x"),))])
        return work(job, folder)

    stage = work.stage(work=fill, fills_store=True)
    for _ in range(2):
        run_stage(stage, job(db=database_url))
    assert work.runs == 1 and stage.state(job(db=database_url)) == "complete"
    emptied(database_url)
    assert stage.state(job(db=database_url)) == "stale" and job(db=database_url).store_counts() == {}
    run_stage(stage, job(db=database_url))
    assert work.runs == 2 and job(db=database_url).store_counts()["prompts"] == 1


def test_stages_come_in_the_order_of_the_flow(job):
    config = job(evaluate={}, aggregate={}, train={}).config
    assert [stage.name for stage in stages_of(config)] == ["aggregate", "train", "calibrate", "evaluate"]
    with pytest.raises(ConfigError, match="no section of any stage"):
        stages_of(JobConfig())


def test_a_plan_runs_all_that_follows_what_runs(work, job):
    for name in ("calibrate", "evaluate"):
        stage = work.stage(name=name, section=name)
        run_stage(stage, job(evaluate={}))
    planned = plan(job(train={}, evaluate={}).config)
    assert [(p.stage, p.state) for p in planned] == [("train", "new"), ("calibrate", "stale"), ("evaluate", "stale")]
    assert planned[1].seconds is not None and planned[0].seconds is None
    assert planned[0].size == "known after aggregate"
    with pytest.raises(ConfigError, match="no section 'judge'"):
        plan_one("judge", job().config)


def test_every_stages_name_is_its_verb():
    filling = ["import", "generate", "simulate", "judge", "cascade"]
    learning = ["aggregate", "train", "calibrate"]
    assert list(STAGES) == [*filling, *learning, "evaluate", "curve", "stress", "audit"]
