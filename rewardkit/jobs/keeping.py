"""What a model says or writes, into the store while it goes on: committed by time, in a thread of its own.

A commit waits for the disk, and a judge that waits with it would be slow; a judge that is slow itself would leave what
it said uncommitted if only its next word could commit it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from types import TracebackType

from rewardkit.progress import Advance
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Rating, Record, Response

SECONDS = 0.5
"""Between commits: the most that is lost where a process is killed and its answers are kept nowhere else."""
MOST_WAITING = 5_000
"""Records that may wait for a commit; a judge that is faster than the disk commits itself."""


@dataclass
class Kept:
    """What was committed.

    Attributes:
        counts: Labels and ratings by status ("labels ok"), annotators, and responses.
        cost: What they cost.
    """

    counts: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0

    def add(self, batch: list[Record]) -> int:
        """Count what was committed; return how many answers are among it."""
        answers = [record for record in batch if isinstance(record, Label | Rating)]
        self.counts.update(f"{type(answer).__name__.lower()}s {answer.status}" for answer in answers)
        self.counts["annotators"] += sum(isinstance(record, Annotator) for record in batch)
        self.cost += sum(_cost(answer) for answer in answers)
        written = sum(isinstance(record, Response) for record in batch)
        self.counts.update({"responses": written} if written else {})
        return len(answers) + written

    @property
    def note(self) -> str:
        """Failures and cost so far, for a line of progress."""
        failed = sum(count for what, count in self.counts.items() if what.endswith(" failed"))
        parts = (f"{failed} failed" if failed else "", f"{self.cost:.4g} paid" if self.cost else "")
        return ", ".join(part for part in parts if part)


class Keeper:
    """Commits records a few times a second; at the end of its block all of them, however it ends.

    Args:
        store: Into which they go.
        kept: Where they are counted.
        advance: Told of each commit.
        committed: Told the ids of what was committed.
    """

    def __init__(
        self, store: Store, kept: Kept, advance: Advance, committed: Callable[[list[str]], None] = lambda _: None
    ) -> None:
        self._store, self._kept, self._advance, self._committed = store, kept, advance, committed
        self._waiting: list[Record] = []
        self._hand, self._commit_lock, self._ended = Lock(), Lock(), Event()
        self._broken: BaseException | None = None
        self._thread = Thread(target=self._commit_now_and_then, name="keeper")

    def __enter__(self) -> Keeper:
        """Begin to commit."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what waits."""
        self._ended.set()
        self._thread.join()
        self._commit()

    def keep(self, record: Record) -> None:
        """Take a record.

        Raises:
            UserError: The store refused one that was taken before.
        """
        with self._hand:
            self._waiting.append(record)
            many = len(self._waiting) >= MOST_WAITING
        if self._broken is not None:
            raise self._broken
        if many:
            self._commit()

    def _commit_now_and_then(self) -> None:
        while not self._ended.wait(SECONDS):
            try:
                self._commit()
            except BaseException as error:  # noqa: BLE001 - raised where records are taken
                self._broken = error
                return

    def _commit(self) -> None:
        with self._commit_lock:
            with self._hand:
                # A judge that could not even be loaded leaves nothing, not even its name.
                if not any(isinstance(record, Label | Rating | Response) for record in self._waiting):
                    return
                batch, self._waiting = self._waiting, []
            try:
                self._store.add(batch)
            except BaseException:
                # Tried again at the end, when the disk may have room.
                with self._hand:
                    self._waiting = batch + self._waiting
                raise
            self._committed([record.id for record in batch if isinstance(record, Label | Rating)])
            answers = self._kept.add(batch)
        self._advance(answers, self._kept.note)


def _cost(answer: Label | Rating) -> float:
    cost = answer.cost if isinstance(answer, Label) else answer.metadata.get("cost")
    return cost or 0.0
