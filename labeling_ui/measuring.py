"""The audit of the judges as the researchers' page runs it: one at a time, and kept until it is asked for again."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock, Thread

from labeling_ui.judges import Audit, Measured, Step
from labeling_ui.people import Refused
from rewardkit.errors import JobFailed, RewardkitError


@dataclass(frozen=True)
class Standing:
    """How it stands.

    Attributes:
        running: Whether the judges are being measured.
        step: How far that is; None before the first is begun.
        problem: Why the last time came to nothing.
    """

    running: bool = False
    step: Step | None = None
    problem: RewardkitError | None = None


@dataclass
class Measuring:
    """Measures the judges in a thread that only waits: the work is done in another process.

    Attributes:
        audit: Does it; None where the page is served without.
        standing: How it stands.
    """

    audit: Audit | None
    standing: Standing = Standing()
    _turn: Lock = field(default_factory=Lock)
    _kept: Measured | None = None

    def kept(self) -> Measured | None:
        """Return what was found the last time."""
        if self._kept is None and self.audit is not None:
            self._kept = self.audit.kept()
        return self._kept

    def start(self) -> None:
        """Begin.

        Raises:
            Refused: It has begun already, or cannot be done here.
        """
        if self.audit is None:
            raise Refused("judges cannot be measured here", fix="serve the study with rewardkit label CONFIG")
        with self._turn:
            if self.standing.running:
                raise Refused("the judges are being measured already", fix="wait for the result")
            self.standing = Standing(running=True)
        # What waits for a process holds up no end of the server.
        Thread(target=self._measure, args=(self.audit,), name="audit", daemon=True).start()

    def _measure(self, audit: Audit) -> None:
        problem: RewardkitError | None = None
        try:
            self._kept = audit.measure(self._told)
        except RewardkitError as error:
            problem = error
        except BaseException as error:
            # Nobody foresaw it: it is said in the page, and keeps its traceback.
            problem = JobFailed(f"the judges could not be measured ({type(error).__name__}: {error})")
            raise
        finally:
            self.standing = Standing(problem=problem)

    def _told(self, step: Step) -> None:
        self.standing = Standing(running=True, step=step)
