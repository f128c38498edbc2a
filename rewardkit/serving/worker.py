"""What the model's thread does: it takes what waits the moment that it is free, pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from time import perf_counter

from rewardkit.progress import log
from rewardkit.serving.daemon_thread import DaemonThread
from rewardkit.serving.engine import Engine
from rewardkit.serving.line import Line, Text

MOST_FAILURES = 8
"""Texts in a row on which the model fails before it is given up: a device that is lost does not come back."""
DIED = "the model has failed and reads nothing any more: restart the server"


class _GivenUp(Exception):
    """The model failed on one text after the other."""


class Worker:
    """Computes the rewards of what waits.

    Args:
        engine: The model.
        line: Where texts wait.
        thread: The model's.
        on_pass: Told of each forward pass: how many tokens.

    Attributes:
        failed: Whether the model was given up.
    """

    def __init__(
        self, engine: Engine, line: Line, thread: DaemonThread, on_pass: Callable[[int], None] = lambda _: None
    ) -> None:
        self._engine, self._line, self._thread, self._on_pass = engine, line, thread, on_pass
        self._failures = 0
        self._running: Future[None] | None = None
        self.failed = False

    @property
    def alive(self) -> bool:
        """Whether texts are read."""
        return self._running is not None and not self._running.done()

    def start(self) -> None:
        """Begin to read."""
        self._running = self._thread.run(self._run)

    def join(self, seconds: float) -> None:
        """Wait for the end, after the line was closed."""
        wait([self._running] if self._running else [], seconds)

    def _run(self) -> None:
        try:
            while (taken := self._line.take(self._engine.with_first)) is not None:
                self._read(taken)
        except Exception as error:
            self.failed = True
            log(f"serve: {DIED} ({_told(error.__cause__ or error)})")
        finally:
            self._line.close(DIED)

    def _read(self, texts: Sequence[Text]) -> None:
        """Answer texts that are read together; where that fails, each for itself."""
        started = perf_counter()
        try:
            readings = self._engine.read([text.ids for text in texts])
        except Exception as error:
            if len(texts) == 1:
                self._failed(texts[0], error)
                return
            for text in texts:
                # Clients may have left while the others were read.
                if text.wanted:
                    self._read([text])
            return
        self._failures = 0
        tokens = sum(len(text.ids) for text in texts)
        self._line.measured(tokens, perf_counter() - started)
        self._on_pass(tokens)
        for text, reading in zip(texts, readings, strict=True):
            text.answer(reading if reading.finite else "the model gives it no finite reward")

    def _failed(self, text: Text, error: Exception) -> None:
        self._failures += 1
        log(f"serve: the model failed on a text of {len(text.ids)} tokens ({_told(error)})")
        if self._failures >= MOST_FAILURES:
            raise _GivenUp from error
        text.answer("the model failed on this text")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
