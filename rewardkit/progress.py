"""Progress with time left, on stderr; a line now and then where stderr is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rewardkit.launching import launched


class Advance(Protocol):
    """Report that `count` more of the total is done."""

    def __call__(self, count: int = 1, note: str = "") -> None:
        """Advance by `count`, showing a short note."""


def log(message: str) -> None:
    """Write one line to stderr; of several processes that one command started, the first writes it.

    Where whoever read it has left, the work goes on without a word: a server could not end well any more.
    """
    if launched().index > 0 or sys.stderr is None:
        return
    try:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = Path(os.devnull).open("w")


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Advance]:
    """Show how far a loop is.

    Args:
        title: What is being done.
        total: How many steps there are; None where that is unknown.

    Yields:
        A function to call as steps complete.
    """
    if sys.stderr.isatty() and launched().index == 0:
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _Lines(title, total)


class _Lines:
    """Progress as lines at most every ten seconds, for logs."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done = title, total, 0
        self.start = self.last = time.monotonic()

    def __call__(self, count: int = 1, note: str = "") -> None:
        """Count, and write a line when ten seconds have passed."""
        self.done += count
        now = time.monotonic()
        if now - self.last >= 10 and self.done:
            self.last = now
            log(f"{self.title}: {self.done}{self._left(now)} {note}".rstrip())

    def _left(self, now: float) -> str:
        rate = self.done / (now - self.start)
        if not self.total:
            return f" ({_rounded(rate)}/s)"
        return f"/{self.total}, {_rounded(rate)}/s, {max(self.total - self.done, 0) / rate:.0f} s left"


def _rounded(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{_rounded(task.speed)}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=note)

        yield advance
