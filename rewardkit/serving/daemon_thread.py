"""A thread that runs one task after the other, and keeps no process from ending: a server's model, its tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonThread:
    """Runs one task after the other, all in one thread.

    A daemon, which an executor's are not: a model in the middle of a pass does not keep a process that is told to end.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    def run(self, task: Callable[[], T]) -> Future[T]:
        """Run a task after those before it; the future has what it returns or raises."""
        found: Future[T] = Future()
        self._tasks.put((task, found))
        return found

    def end(self) -> None:
        """End after the tasks that are there."""
        self._tasks.put(None)

    def _run(self) -> None:
        while True:
            if (next_ := self._tasks.get()) is None:
                return
            task, found = next_
            if not found.set_running_or_notify_cancel():
                continue
            try:
                told = task()
            except BaseException as error:
                found.set_exception(error)
            else:
                found.set_result(told)
            # What a task held is not kept while the next is waited for.
            del next_, task, found
