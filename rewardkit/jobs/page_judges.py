"""What the researchers' page can do with judges, from a job's config: measure them, and watch one at work."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import ValidationError

from labeling_ui.judges import Audit, Judges, Measured, Step, Told, Watchable
from labeling_ui.reviewing import LiveJudge
from rewardkit.audit_config import AuditConfig
from rewardkit.config import JobConfig
from rewardkit.errors import JobFailed, RewardkitError
from rewardkit.jobs.live_judge import annotator_of, live_judge
from rewardkit.jobs.stages import Job
from rewardkit.judge_config import JudgeConfig
from rewardkit.label_config import LiveJudgeConfig
from rewardkit.progress import log

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
FOLDER, PAGE, FOUND = "label", "audit.html", "found.json"


@dataclass(frozen=True)
class AuditElsewhere:
    """Measures judges in a process of its own, for which a page's thread waits.

    Attributes:
        config: The job, with a section `audit`.
    """

    config: JobConfig

    @property
    def folder(self) -> Path:
        """Where its results lie; those of `rewardkit audit` lie beside it, and are not touched."""
        return Job(self.config).folder(FOLDER).path / "audit"

    @property
    def page(self) -> Path:
        """The whole audit of the last time, as one page."""
        return self.folder / PAGE

    def kept(self) -> Measured | None:
        """Return what was found the last time; None before the first, and where another version wrote it."""
        path = self.folder / FOUND
        if not path.exists() or not self.page.exists():
            return None
        try:
            return Measured.model_validate_json(path.read_bytes())
        except ValidationError as error:
            log(f"label: {path} is of another version, and is not shown ({error.error_count()} differences)")
            return None

    def measure(self, told: Told) -> Measured:
        """Measure them anew.

        Raises:
            RewardkitError: There is nothing to measure, or it did not succeed.
        """
        # In a session of its own: Ctrl-C is for the page, with which it ends.
        with subprocess.Popen(
            [sys.executable, "-m", "rewardkit.jobs.audit_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        ) as process:
            try:
                return _answer(process, (self.config, self.folder), told)
            finally:
                process.kill()


def _answer(process: subprocess.Popen[bytes], asked: Any, told: Told) -> Measured:
    assert process.stdin is not None and process.stdout is not None
    try:
        # Not among the words of the command, which others on this machine may read: it may hold a password.
        pickle.dump(asked, process.stdin)
        process.stdin.flush()
        while isinstance(answer := pickle.load(process.stdout), Step):  # noqa: S301 - from a process of ours
            told(answer)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise JobFailed("the process that measures the judges has ended", fix="ask again") from error
    if isinstance(answer, RewardkitError):
        raise answer
    assert isinstance(answer, Measured)
    return answer


@dataclass
class _Opened:
    """A judge whose model is loaded when it is asked first, and ends with the server."""

    config: LiveJudgeConfig
    stack: ExitStack
    _turn: Lock = field(default_factory=Lock)
    _judge: LiveJudge | None = None

    def __call__(self) -> LiveJudge:
        with self._turn:
            self._judge = self._judge or self.stack.enter_context(live_judge(self.config))
            return self._judge


def page_judges(config: JobConfig, live: LiveJudge | None, stack: ExitStack) -> Judges:
    """Return what researchers can do with judges.

    Args:
        config: The job; judges are measured as its section `audit` says, and the one of its section `judge` can be
            watched.
        live: The judge for whom annotators wait.
        stack: Ends with the server, and models with it.

    Raises:
        ConfigError: There is no such rubric.
    """
    measured: Audit = AuditElsewhere(config.model_copy(update={"audit": config.audit or AuditConfig()}))
    watchable = [Watchable(live.annotator, lambda: live, shared=True)] if live else []
    settings = config.judge and watched_config(config.judge)
    if settings and (annotator := annotator_of(settings)).id not in [each.annotator.id for each in watchable]:
        watchable.append(Watchable(annotator, _Opened(settings, stack)))
    unwatchable = ""
    if config.judge and not settings:
        unwatchable = (
            f"The judge of the section judge has the backend {config.judge.backend}: models on this machine "
            "(transformers) and behind OpenAI-compatible servers (openai) can be watched."
        )
    return Judges(measured, tuple(watchable), unwatchable)


def watched_config(judge: JudgeConfig) -> LiveJudgeConfig | None:
    """Return how the model of the section `judge` is asked for its words; None where its backend gives none here.

    It is asked by `critique.v1`, whatever its protocol in batch, so that there is something to read.
    """
    if judge.backend == "transformers":
        return LiveJudgeConfig(model=judge.model, rubric=judge.rubric)
    if judge.backend != "openai":
        return None
    server = judge.server
    shared = {"url": server.url, "key_variable": server.key_variable, "seconds": server.seconds}
    # A batch is asked at 0, which what is drawn for a page cannot be: then it is as it is for annotators.
    more = {"temperature": server.temperature} if server.temperature else {}
    return LiveJudgeConfig(model=judge.model, rubric=judge.rubric, **shared, **more)
