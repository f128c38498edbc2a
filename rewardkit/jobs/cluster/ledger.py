"""What all judges on a cluster share: money, failures, bought answers. One of it lives beside the job, on its machine.

A budget that each judge had a part of would end while another part is unspent, and a share of failures would mean
nothing in a shard of a few; so every judge asks here.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from rewardkit.errors import JobFailed
from rewardkit.jobs.cluster.unrecorded import Unrecorded
from rewardkit.judge.budget import Budget
from rewardkit.judge.cache import AnswerCache, Bill
from rewardkit.judge.contract import Completion
from rewardkit.judge.failures import FailureGuard

WRITTEN_EVERY = 0.5
ASKED_EVERY = 0.2
"""Seconds until somebody who has to wait for money asks again."""
NOTHING = 1e-12
"""What is left of sums that were taken away again is not money."""


@dataclass(frozen=True)
class Bounds:
    """What a run may spend and survive.

    Attributes:
        most: What may be spent; None without a limit.
        spent: What is on record as spent.
        payers: Ids of the annotators in whose names it is spent.
        max_failure_rate: The largest share of failures.
        folder: Where it is noted what was spent and is not on record.
        answers: The file of bought answers.
    """

    most: float | None
    spent: float
    payers: tuple[str, ...]
    max_failure_rate: float
    folder: Path
    answers: Path


@dataclass(frozen=True)
class State:
    """How a run stands.

    Attributes:
        done: Answers so far, in all shards.
        reasons: Failures, by reason.
        spent: In earlier runs too.
        stopped: Whether judges are to end.
        used_up: Whether requests were left that the budget could not pay.
        hits: Answers from the cache.
        failure: What stopped the run, if too many failed.
    """

    done: int
    reasons: Counter[str]
    spent: float
    stopped: bool
    used_up: bool
    hits: int
    failure: JobFailed | None


@dataclass
class _Account:
    """What one judge has set aside, and what it answered in a shard that is not written yet."""

    shard: str = ""
    reserved: float = 0.0
    done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Ledger:
    """The shared books. Judges call it by name, one after the other.

    Args:
        bounds: What the run may spend and survive.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._unrecorded = bounds, Unrecorded(bounds.folder)
        # What an earlier run spent on labels that never came is spent all the same.
        self._spent = bounds.spent + self._unrecorded.of(bounds.payers)
        self._accounts: dict[str, _Account] = defaultdict(_Account)
        self._guard = FailureGuard(bounds.max_failure_rate)
        self._cache = AnswerCache(bounds.answers)
        self._stopped = self._used_up = False
        self._failure: JobFailed | None = None
        self._written = 0.0

    def begin(self) -> None:
        """Count failures anew: labels and ratings fail for reasons of their own."""
        self._guard, self._failure = FailureGuard(self._bounds.max_failure_rate), None
        self._stopped = False

    def takes(self, judge: str, file: Path) -> None:
        """Take note of the file in which a judge is to tell what it spends from now on."""
        self._accounts[judge].shard = self._unrecorded.key(file)

    def reserve(self, judge: str, amount: float) -> bool:
        """Set an amount aside; False where it is not there now."""
        if self._bounds.most is not None and self._bound + amount > self._bounds.most:
            return False
        self._accounts[judge].reserved += amount
        return True

    def may_come(self, amount: float) -> bool:
        """Tell whether an amount may be there once others have settled; who cannot be paid is on record.

        Nobody waits in a run that was stopped: those who hold money may be gone.
        """
        if self._stopped:
            return False
        there = self._bounds.most is None or self._spent + amount <= self._bounds.most
        self._used_up = self._used_up or not there
        return there

    def settle(self, judge: str, reserved: float, cost: float) -> None:
        """Replace what was set aside by what it cost."""
        account = self._accounts[judge]
        account.reserved -= reserved
        self._spent += cost
        self._unrecorded.add(account.shard, cost)
        self._note(cost)

    def written(self, judge: str) -> None:
        """Take note that all that a judge paid for is in a file."""
        account = self._accounts[judge]
        self._accounts[judge] = _Account(account.shard, account.reserved)
        self._unrecorded.told(account.shard)
        self._note(None)

    def ended(self, judge: str, paid: bool) -> None:
        """Take back what a judge has set aside once nothing of its own is under way.

        Args:
            judge: Who has no shard now.
            paid: Whether requests whose answers it did not take may be billed; then they are spent.
        """
        account = self._accounts[judge]
        left, account.reserved = account.reserved, 0.0
        if paid and left > NOTHING:
            self._spent += left
            self._unrecorded.add(account.shard.partition("/")[0], left)
            self._note(None)

    def lost(self, judge: str) -> None:
        """Take note that a judge is gone: what it paid for and set aside is spent, and no label tells of it."""
        account = self._accounts.pop(judge, _Account())
        self._guard.done -= account.done
        self._guard.reasons -= account.reasons
        self._spent += account.reserved
        self._unrecorded.add(account.shard, account.reserved)
        self._unrecorded.lost(account.shard)
        self._note(None)

    def answered(self, judge: str, done: int, reasons: Mapping[str, int]) -> bool:
        """Count answers, the failed ones by reason; False where judges are to end."""
        account = self._accounts[judge]
        account.done += done
        account.reasons.update(reasons)
        self._guard.done += done
        self._guard.reasons.update(reasons)
        try:
            self._guard.check()
        except JobFailed as failure:
            # Kept: good answers that come after it do not make the run whole.
            self._stopped, self._failure = True, self._failure or failure
        return not self._stopped

    def stop(self) -> None:
        """Ask all judges to end, with what they have."""
        self._stopped = True

    def state(self) -> State:
        """Return how the run stands."""
        guard = self._guard
        how = self._stopped, self._used_up, self._cache.hits, self._failure
        return State(guard.done, Counter(guard.reasons), self._spent, *how)

    def answers(self, method: str, *arguments: Any) -> Any:
        """Call the cache of bought answers."""
        return getattr(self._cache, method)(*arguments)

    def close(self) -> None:
        """Write what is to be known by the next run."""
        self._note(None)
        self._cache.close()

    @property
    def _bound(self) -> float:
        return self._spent + sum(account.reserved for account in self._accounts.values())

    def _note(self, cost: float | None) -> None:
        now = time.monotonic()
        if cost == 0.0 or (cost is not None and now - self._written < WRITTEN_EVERY):
            return
        self._unrecorded.write()
        self._written = now


Call = Callable[..., Any]
"""Call a method of the ledger by its name, and wait for what it returns."""


@dataclass
class SharedBudget(Budget):
    """A budget whose money is in the ledger.

    Attributes:
        call: The ledger.
        judge: By which name it is asked.
    """

    call: Call = lambda *_: None
    judge: str = ""
    _own: float = 0.0
    _own_lock: Lock = field(default_factory=Lock, repr=False)

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; where others hold it, and nothing of our own is under way, wait for them."""
        if amount == 0.0:
            return True
        while not self.call("reserve", self.judge, amount):
            if self._own > NOTHING or not self.call("may_come", amount):
                return False
            time.sleep(ASKED_EVERY)
        with self._own_lock:
            self._own += amount
        return True

    def settle(self, reserved: float, cost: float) -> None:
        """Replace what was set aside by what it cost."""
        if reserved or cost:
            with self._own_lock:
                self._own = max(self._own - reserved, 0.0)
            self.call("settle", self.judge, reserved, cost)

    def check(self) -> None:
        """Leave it to the job to end: other judges may still be paid."""


class SharedAnswers(AnswerCache):
    """The cache of bought answers, which stands where the ledger is.

    Args:
        call: The ledger.
    """

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def find(self, key: str) -> Completion | None:
        """Return the answer to a question that was answered before."""
        found: Completion | None = self._call("answers", "find", key)
        return found and replace(found, cost=0.0, key="")

    def holds(self, key: str) -> bool:
        """Tell whether there is an answer, without taking it."""
        return bool(self._call("answers", "holds", key))

    def keep(self, answers: Mapping[str, Completion]) -> None:
        """Write answers, by key."""
        self._call("answers", "keep", answers)

    def _elsewhere(self, *_: Any, **__: Any) -> Any:
        """Leave it to the ledger to know what is paid, and what of it is on record."""
        return 0.0

    pay = told_by = committed = unlabelled = _elsewhere

    def sent(self, batch: str, keys: Iterable[str]) -> None:
        """Note that a provider works on a batch."""
        self._call("answers", "sent", batch, list(keys))

    def batch_of(self, key: str) -> str | None:
        """Return the batch in which a question was sent and whose results nobody has taken yet."""
        found: str | None = self._call("answers", "batch_of", key)
        return found

    def taken(
        self, batch: str, keys: Iterable[str], answers: Mapping[str, Completion], bills: Sequence[Bill] = ()
    ) -> None:
        """Write a batch's answers and forget it, as far as these questions go."""
        self._call("answers", "taken", batch, list(keys), answers)

    def forget(self, batch: str) -> None:
        """Forget a batch of which no answer will come."""
        self._call("answers", "forget", batch)
