"""Texts that a model is asked to write, into the store as they come; of what is not written the reason.

A reply that came to nothing (empty, cut off, a text that is there already) is written down, and not asked for again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardkit import runs
from rewardkit.jobs.keeping import Keeper, Kept
from rewardkit.progress import log, progress
from rewardkit.store.store import Store

if TYPE_CHECKING:
    from rewardkit.generation.policies import Policy
    from rewardkit.generation.sampling import Key
    from rewardkit.judge.budget import Budget
    from rewardkit.judge.contract import Backend
    from rewardkit.judge.tasks import Task
    from rewardkit.judge.writing import Written

FILE = "left_out.jsonl"
KNOWN = "already there"


class LeftOut:
    """What came to nothing in earlier runs and in this one, in a file of the stage.

    Args:
        folder: Of the stage.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        rows = [json.loads(line) for line in text.splitlines()]
        self.rows: dict[Key, dict[str, Any]] = {(row["prompt"], row["seed"]): row for row in rows}

    def for_good(self, policy: Policy) -> set[Key]:
        """Return what a policy need not be asked again: the same would come of it."""
        from rewardkit.generation.sampling import CUT_OFF

        again = {CUT_OFF} if policy.config.truncated == "keep" else set()
        rows = self.rows.items()
        return {key for key, row in rows if row["status"] == "left_out" and row["reason"] not in again}

    def note(self, written: Written, **about: str) -> None:
        """Write down what came to nothing; forget what came to something after all."""
        key = (written.prompt_id, written.seed)
        if written.response is not None:
            self.rows.pop(key, None)
        else:
            said = {"status": written.status, "reason": written.reason}
            self.rows[key] = {"prompt": written.prompt_id, "seed": written.seed, **about, **said}

    def save(self) -> None:
        """Write the file; there is none where all was written."""
        if self.rows:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows.values())
            runs.write_text(self._path, "".join(lines))
        else:
            self._path.unlink(missing_ok=True)


@dataclass
class Writer:
    """Asks policies, and keeps what they write.

    Attributes:
        store: Into which it goes.
        budget: Where money is asked for.
        max_failure_rate: The largest share of failed texts that the job survives.
        left_out: What came to nothing.
        known: Ids of the responses that are there.
        counts: New texts, and those that came to nothing, by reason.
    """

    store: Store
    budget: Budget
    max_failure_rate: float
    left_out: LeftOut
    known: set[str]
    counts: Counter[str] = field(default_factory=Counter)

    def write(self, policy: Policy, tasks: Iterable[Task[Written]], what: str) -> None:
        """Let a policy write.

        Args:
            policy: Who.
            tasks: What it is asked.
            what: What the texts are called.

        Raises:
            JobFailed: Too many failed, or the budget is used up; what was written is committed.
            ModelError: The model cannot be asked at all.
        """
        asked, name = list(tasks), policy.config.name
        log(f"generate: {name}: {len(asked)} {what} to write with {policy.backend.model}")
        shown, stream = progress(f"generate: {name}", len(asked)), self._written(policy.backend, asked, what)
        reasons: Counter[str] = Counter()
        with shown as advance, Keeper(self.store, Kept(), advance) as keeper, closing(stream):
            for written in stream:
                self.left_out.note(written, policy=name, what=what)
                if written.response is not None:
                    keeper.keep(written.response)
                else:
                    reasons["failed" if written.status == "failed" else written.reason] += 1
                    advance(1)
        self.counts[what] += len(asked) - reasons.total()
        self.counts.update({f"{what} {reason}": count for reason, count in reasons.items()})
        _say_what_was_cut(policy, reasons)

    def _written(self, backend: Backend, asked: Iterable[Task[Written]], what: str) -> Generator[Written, None, None]:
        """Yield what is written; a text that is there already is none."""
        from rewardkit.judge.failures import FailureGuard
        from rewardkit.judge.running import answered

        guard = FailureGuard(self.max_failure_rate, stage="generate", records=what)
        with closing(answered(iter(asked), backend, guard, self.budget)) as stream:
            for written in stream:
                yield self._new(written)

    def _new(self, written: Written) -> Written:
        if written.response is None:
            return written
        if written.response.id in self.known:
            return replace(written, response=None, status="left_out", reason=KNOWN)
        self.known.add(written.response.id)
        return written


def _say_what_was_cut(policy: Policy, reasons: Counter[str]) -> None:
    from rewardkit.generation.sampling import CUT_OFF

    if cut := reasons[CUT_OFF]:
        fix = f"raise max_new_tokens ({policy.config.max_new_tokens}), or keep them with truncated: keep"
        log(f"generate: {policy.config.name}: {cut} texts were cut off and dropped: {fix}")
