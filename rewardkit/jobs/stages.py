"""What a stage is, and how one is run: skipped when complete and unchanged, resumed when interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from rewardkit import runs
from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, NoDatabaseError, NotFinishedError, OutputError, UserError
from rewardkit.extras import require_all
from rewardkit.jobs.costs import Several, Work
from rewardkit.launching import launched
from rewardkit.models import resolve
from rewardkit.progress import log
from rewardkit.store.store import Store

Summary = dict[str, Any]
State = Literal["complete", "stale", "interrupted", "new"]


T = TypeVar("T")


def given(section: T | None) -> T:
    """Return a section that the stage's caller has made sure of (`Stage.config` refuses a config without it)."""
    assert section is not None
    return section


def model_revision(name: str, extra: str) -> dict[str, str]:
    """Return, as an input, the revision of the model that a name stands for now.

    Raises:
        ModelError: There is no such model.
        MissingExtraError: A package of the extra that its stage needs is not installed.
    """
    require_all(extra)
    return {"model": resolve(name).revision}


@dataclass(frozen=True)
class Job:
    """A resolved config, and where its results go.

    Attributes:
        config: The config.
        taught_by: The database whose labels teach its judge, where that is not the config's own.
    """

    config: JobConfig
    taught_by: str | None = None

    @property
    def labelled_in(self) -> str:
        """The database whose labels teach its judge."""
        return self.taught_by or self.config.database

    def folder(self, stage: str) -> runs.StageFolder:
        """Return the folder of one of the job's stages."""
        return runs.StageFolder(self.config.workspace / "runs" / self.config.name / stage, stage)

    def output(self, stage: str, name: str) -> Path:
        """Return a finished stage's output.

        Raises:
            UserError: The stage has not finished.
        """
        folder = self.folder(stage)
        path = folder.path / name
        if folder.manifest() is None or not path.exists():
            raise NotFinishedError(stage, where=str(folder.path))
        return path

    def store_counts(self) -> dict[str, int]:
        """Return how many records of each kind the database holds; nothing where there is none yet."""
        try:
            with Store.open(self.config.database, create=False) as store:
                return store.counts()
        except NoDatabaseError:
            return {}


@dataclass(frozen=True)
class Stage:
    """A step of a pipeline.

    Attributes:
        name: Its verb, and its folder's name.
        section: Its key in the config.
        rooms: Modules and packages whose source its result depends on.
        inputs: Name and hash of everything that it reads.
        work: Does it; returns what is worth telling.
        size: Says how much there is to do, without doing it.
        work_ahead: How much text it sends through which model; None for a stage that uses none.
        bill: Says what is asked of servers and paid for, where there is any; None for a stage that asks none.
        outputs: The files without which it is not complete.
        extra: The extra whose packages it needs.
        fills_store: Whether its result is in the database.
        follow: What the other processes of a launch do while the first one works; None for a stage of one process.
    """

    name: str
    section: str
    rooms: tuple[str, ...]
    inputs: Callable[[Job], dict[str, str]]
    work: Callable[[Job, runs.StageFolder], Summary]
    size: Callable[[Job], str]
    work_ahead: Callable[[Job], Work | Several | None] | None = None
    bill: Callable[[Job], str] | None = None
    outputs: Callable[[Job], Sequence[Path]] = lambda job: ()
    extra: str | None = None
    fills_store: bool = False
    follow: Callable[[Job], None] | None = None

    def config(self, job: Job) -> BaseModel:
        """Return the stage's section.

        Raises:
            ConfigError: The config has none.
        """
        section = getattr(job.config, self.section)
        if not isinstance(section, BaseModel):
            key = type(job.config).model_fields[self.section].alias or self.section
            raise ConfigError(f"the config has no section {key!r}", fix=f"add {key}: to it")
        return section

    def fingerprint(self, job: Job, inputs: Mapping[str, str]) -> str:
        """Hash all that the result depends on."""
        return runs.fingerprint(inputs, self._resolved(job), self.rooms, job.config.seed)

    def expected_seconds(self, job: Job) -> float | None:
        """Estimate how long it would take on this machine; None where nothing tells."""
        work = self.work_ahead(job) if self.work_ahead else None
        return work.seconds() if work else None

    def state(self, job: Job) -> State:
        """Tell whether the stage would run, and why."""
        folder = job.folder(self.name)
        if not folder.path.exists():
            return "new"
        manifest = folder.manifest()
        if manifest is None:
            return "interrupted"
        there = all(path.exists() for path in self.outputs(job)) and self._stored(job, manifest)
        return "complete" if there and self._unchanged(job, folder) else "stale"

    def _stored(self, job: Job, manifest: runs.Manifest) -> bool:
        """Tell whether what the stage put into the database can still be there: nothing ever leaves a store."""
        if not self.fills_store:
            return True
        counts = job.store_counts()
        return all(counts.get(kind, 0) >= count for kind, count in manifest.store.items()) and bool(counts)

    def _unchanged(self, job: Job, folder: runs.StageFolder) -> bool:
        try:
            inputs = self.inputs(job)
        except UserError:
            return False
        return folder.complete(self.fingerprint(job, inputs))

    def _resolved(self, job: Job) -> dict[str, Any]:
        resolved = self.config(job).model_dump(mode="json")
        return {**resolved, "database": job.config.shown_database} if self.fills_store else resolved


def expected(seconds: float | None) -> str:
    """Put an estimate into words; nothing where there is none."""
    if seconds is None:
        return ""
    return f"; about {seconds:.0f} s here" if seconds < 90 else f"; about {seconds / 60:.0f} min here"


def follow_stage(stage: Stage, job: Job, *, force: bool = False) -> None:
    """Do what a process of a launch does that is not the first: work along, and write nothing.

    Raises:
        ConfigError: The stage is the work of one process.
    """
    stage.config(job)
    follow = _along(stage)
    if force or stage.state(job) != "complete":
        follow(job)


def _along(stage: Stage) -> Callable[[Job], None]:
    """Return what other processes do at a stage."""
    if stage.follow is None:
        fix = f"rewardkit {stage.name} CONFIG, without a launcher"
        raise ConfigError("several processes were launched", where=stage.name, expected="one process", fix=fix)
    return stage.follow


def run_stage(stage: Stage, job: Job, *, force: bool = False) -> runs.Manifest:
    """Run a stage unless it is complete and unchanged.

    Args:
        stage: What to run.
        job: For which job.
        force: Run it even so.

    Raises:
        UserError: Something that the stage needs is missing or wrong.
    """
    stage.config(job)
    if launched().several:
        _along(stage)
    folder = job.folder(stage.name)
    manifest = folder.manifest()
    if manifest is not None and not force and stage.state(job) == "complete":
        log(f"{stage.name}: complete and unchanged")
        return manifest
    if stage.extra is not None:
        require_all(stage.extra)
    inputs = stage.inputs(job)
    key = stage.fingerprint(job, inputs)
    log(f"{stage.name}: {stage.size(job)}{expected(stage.expected_seconds(job))}")
    folder.open(key)
    start = time.monotonic()
    try:
        summary = stage.work(job, folder)
    except UserError as error:
        # Refused before any output was replaced (a typing error, say): what was complete stays so.
        if manifest is not None and not isinstance(error, OutputError):
            folder.finish(manifest)
        raise
    return _finish(stage, job, inputs, summary, seconds=time.monotonic() - start)


def _finish(stage: Stage, job: Job, inputs: dict[str, str], summary: Summary, *, seconds: float) -> runs.Manifest:
    manifest = runs.Manifest(
        stage=stage.name,
        fingerprint=stage.fingerprint(job, inputs),
        inputs=inputs,
        config=job.config.resolved(),
        seed=job.config.seed,
        seconds=round(seconds, 2),
        finished_at=runs.now(),
        versions=runs.versions(),
        summary=summary,
        store=job.store_counts() if stage.fills_store else {},
    )
    job.folder(stage.name).finish(manifest)
    log(f"{stage.name}: done in {seconds:.0f} s")
    return manifest
