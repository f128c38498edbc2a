"""`rewardkit run`: the stages of a config in order, skipping what is complete and unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, NoDatabaseError, NotFinishedError, UserError
from rewardkit.jobs.auditing import AUDIT
from rewardkit.jobs.cascading import CASCADE
from rewardkit.jobs.curving import CURVE
from rewardkit.jobs.evaluating import EVALUATE
from rewardkit.jobs.generating import GENERATE
from rewardkit.jobs.labels import IMPORT, JUDGE, SIMULATE
from rewardkit.jobs.learning import CALIBRATE, TRAIN
from rewardkit.jobs.names import check_names
from rewardkit.jobs.preferences import AGGREGATE
from rewardkit.jobs.stages import Job, Stage, State, follow_stage, run_stage
from rewardkit.jobs.stressing import STRESS
from rewardkit.launching import launched
from rewardkit.progress import log
from rewardkit.runs import Manifest

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        *(IMPORT, GENERATE, SIMULATE, JUDGE, CASCADE, AGGREGATE),
        *(TRAIN, CALIBRATE, EVALUATE, CURVE, STRESS, AUDIT),
    )
}


@dataclass(frozen=True)
class Planned:
    """What `--dry-run` says about a stage.

    Attributes:
        stage: Its name.
        state: Complete, or why it would run.
        size: How much there is to do; what it waits for where that is not known yet.
        seconds: How long it took the last time; None where it never finished.
        expected_seconds: How long it would roughly take, where it would run and that can be told.
    """

    stage: str
    state: State
    size: str
    seconds: float | None
    expected_seconds: float | None


def stages_of(config: JobConfig) -> list[Stage]:
    """Return the stages that a config has a section for, in order.

    Raises:
        ConfigError: There is none.
    """
    found = [stage for stage in STAGES.values() if getattr(config, stage.section) is not None]
    if not found:
        raise ConfigError("the config has no section of any stage", expected=f"one of {', '.join(STAGES)}")
    return found


def plan(config: JobConfig) -> list[Planned]:
    """Say which stages would run, and how large they are.

    Nothing is run or written, but for a model that a finished stage used and the cache has lost.
    """
    job, planned, rerun = Job(config), list[Planned](), False
    stages = stages_of(config)
    _check_names(job)
    for stage in stages:
        state = stage.state(job)
        if rerun and state == "complete":
            state = "stale"
        rerun = rerun or state != "complete"
        planned.append(_planned(stage, job, state))
    return planned


def plan_one(name: str, config: JobConfig) -> list[Planned]:
    """Say whether one stage would run by itself, without those before it.

    Raises:
        ConfigError: The config has no section for it.
    """
    stage, job = STAGES[name], Job(config)
    stage.config(job)
    _check_names(job)
    return [_planned(stage, job, stage.state(job))]


def run(config: JobConfig) -> list[Manifest]:
    """Run a pipeline; what is complete and unchanged is skipped.

    Raises:
        RewardkitError: A stage could not be run; what came before it stays, and is skipped next time.
    """
    if launched().several:
        fix = "launch `rewardkit train CONFIG`, and run the other stages without a launcher"
        raise ConfigError("several processes were launched", where="run", expected="one process", fix=fix)
    job, stages = Job(config), stages_of(config)
    _check_names(job)
    manifests = []
    for number, stage in enumerate(stages, start=1):
        log(f"[{number}/{len(stages)}] {stage.name}")
        manifests.append(run_stage(stage, job))
    return manifests


def run_one(name: str, config: JobConfig, *, force: bool = False) -> Manifest | None:
    """Run one stage of a config; None in a process of a launch that only works along."""
    if launched().index > 0:
        follow_stage(STAGES[name], Job(config), force=force)
        return None
    return run_stage(STAGES[name], Job(config), force=force)


def _check_names(job: Job) -> None:
    # The losses need torch, which a run of nothing should not load; whoever has trained had a right name.
    trained = job.config.train is not None and TRAIN.state(job) == "complete"
    check_names(job.config, skip=("train",) if trained else ())


def _planned(stage: Stage, job: Job, state: State) -> Planned:
    manifest = job.folder(stage.name).manifest()
    size, expected = _ahead(stage, job, state)
    return Planned(stage.name, state, size, manifest.seconds if manifest else None, expected)


def _bill(stage: Stage, job: Job) -> str:
    try:
        return f"; {said}" if stage.bill and (said := stage.bill(job)) else ""
    except UserError as error:
        return f"; what it costs is known later ({error.what})"


def _ahead(stage: Stage, job: Job, state: State) -> tuple[str, float | None]:
    """Return how much there is to do and, where it is not done yet, roughly how long that takes."""
    if stage.name == IMPORT.name:
        # What cannot be read is refused now, and not when the run begins.
        return stage.size(job), None
    try:
        if state == "complete":
            return stage.size(job), None
        return f"{stage.size(job)}{_bill(stage, job)}", stage.expected_seconds(job)
    except NoDatabaseError as error:
        imports = getattr(job.config, IMPORT.section) is not None
        return "known after import" if imports else f"known later ({error.what})", None
    except NotFinishedError as error:
        return f"known after {error.stage}", None
    except UserError as error:
        return f"known later ({error.what})", None
