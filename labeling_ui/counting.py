"""Counts in a process of its own: annotators would wait while researchers' numbers are worked out in the page's.

`python -m labeling_ui.counting` reads questions from standard input and answers them on standard output, one after the
other. It gives way to the page wherever both want a core, and ends when its input does, which is when its parent ends
in whatever way.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Any, cast
from weakref import finalize

from labeling_ui.counted import Counted, Overview
from labeling_ui.disputes import Dispute
from labeling_ui.quality import Annotated
from labeling_ui.study import Study
from rewardkit.errors import JobFailed, RewardkitError
from rewardkit.store.store import Store

YIELDING = 10
"""Added to the process's niceness."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Elsewhere:
    """Counts one study's answers in another process, which is started ahead, or when it is asked first.

    Attributes:
        url: Of the database.
        study: Its name.
    """

    url: str
    study: str
    _turn: Lock = field(default_factory=Lock)
    _process: subprocess.Popen[bytes] | None = None
    _end: Callable[[], Any] = field(default=lambda: None, init=False)

    def start(self) -> None:
        """Start the process, so that whoever asks first does not wait for what it loads."""
        with self._turn:
            self._process = self._process or self._started()

    def overview(self, now: float) -> Overview:
        """Return how the study goes."""
        return cast(Overview, self._ask("overview", now))

    def annotators(self, study: Study) -> list[Annotated]:
        """Return how everybody works."""
        return cast("list[Annotated]", self._ask("annotators", study))

    def dispute(self, after: str) -> tuple[Dispute | None, int]:
        """Return the next comparison that is to be decided after an item, and how many there are."""
        return cast("tuple[Dispute | None, int]", self._ask("dispute", after))

    def _ask(self, what: str, *values: Any) -> Any:
        # One question at a time: pages that are open side by side do not take more of the machine.
        with self._turn:
            process = self._process = self._process or self._started()
            assert process.stdin is not None and process.stdout is not None
            try:
                _send(process.stdin, (what, values))
                answer = pickle.load(process.stdout)  # noqa: S301 - from a process of ours
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                self._process = None
                self._end()
                raise JobFailed(
                    "the process that counts has ended", where=self.study, fix="ask again: it is started anew"
                ) from error
        if isinstance(answer, RewardkitError):
            raise answer
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        # In a session of its own: Ctrl-C is for the page, which ends it.
        process = subprocess.Popen(
            [sys.executable, "-m", "labeling_ui.counting"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )
        self._end = finalize(self, _end, process)
        assert process.stdin is not None
        # Not among the words of the command, which others on this machine may read: it may hold a password.
        _send(process.stdin, (self.url, self.study))
        return process


def _send(file: IO[bytes], what: Any) -> None:
    pickle.dump(what, file)
    file.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that only reads, in the middle of whatever it does."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        # What is left to be written has no reader.
        with suppress(OSError):
            pipe.close()
    process.wait()


def main() -> int:
    """Answer questions until standard input ends."""
    os.nice(YIELDING)
    try:
        for answer in _answers(sys.stdin.buffer):
            _send(sys.stdout.buffer, answer)
    except (EOFError, BrokenPipeError):
        # Nobody asks any more, or waits for the answer. At once: what is left to be written has no reader.
        os._exit(0)
    return 0


def _answers(questions: IO[bytes]) -> Iterator[Any]:
    url, study = pickle.load(questions)  # noqa: S301 - from the process that started this one
    counted: Counted | None = None
    with ExitStack() as stack:
        while True:
            what, values = pickle.load(questions)  # noqa: S301
            try:
                counted = counted or Counted(stack.enter_context(Store.open(url, create=False)), study)
                answer = getattr(counted, what)(*values)
            except RewardkitError as error:
                answer = error
            yield answer


if __name__ == "__main__":
    sys.exit(main())
