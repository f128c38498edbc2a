"""Texts that a model is asked to write, into the store as they come; of what is not written the reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit import runs
from rewardkit.jobs.keeping import Keeper, Kept
from rewardkit.progress import log, progress
from rewardkit.store.store import Store

if TYPE_CHECKING:
    from rewardkit.generation.policies import Policy
    from rewardkit.judge.budget import Budget
    from rewardkit.judge.tasks import Task
    from rewardkit.judge.writing import Written

FILE = "left_out.jsonl"


@dataclass
class Writer:
    """Asks policies, and keeps what they write.

    Attributes:
        store: Into which it goes.
        budget: Where money is asked for.
        max_failure_rate: The largest share of failed texts that the job survives.
        counts: New texts, and those that came to nothing, by reason.
        rows: Of each text that came to nothing what it was and why.
    """

    store: Store
    budget: Budget
    max_failure_rate: float
    counts: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, str]] = field(default_factory=list)

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
        from rewardkit.judge.failures import FailureGuard
        from rewardkit.judge.running import answered

        asked, name = list(tasks), policy.config.name
        log(f"generate: {name}: {len(asked)} {what} to write with {policy.backend.model}")
        guard = FailureGuard(self.max_failure_rate, stage="generate", records=what)
        before, left_out = self.store.counts()["responses"], len(self.rows)
        shown, stream = (
            progress(f"generate: {name}", len(asked)),
            answered(iter(asked), policy.backend, guard, self.budget),
        )
        with shown as advance, Keeper(self.store, Kept(), advance) as keeper, closing(stream):
            for written in stream:
                if written.response is not None:
                    keeper.keep(written.response)
                else:
                    self._note(policy, written, what)
                    advance(1)
        self.counts[what] += self.store.counts()["responses"] - before
        _say_what_was_cut(policy, self.rows[left_out:])

    def save(self, folder: Path) -> None:
        """Write down what came to nothing; no file where all was written."""
        path = folder / FILE
        path.unlink(missing_ok=True)
        if self.rows:
            runs.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))

    def _note(self, policy: Policy, written: Written, what: str) -> None:
        self.counts[f"{what} {'failed' if written.status == 'failed' else written.reason}"] += 1
        self.rows.append(
            {
                "policy": policy.config.name,
                "what": what,
                "about": written.about,
                "status": written.status,
                "reason": written.reason,
            }
        )


def _say_what_was_cut(policy: Policy, rows: Iterable[dict[str, str]]) -> None:
    from rewardkit.generation.sampling import CUT_OFF

    if cut := sum(row["reason"] == CUT_OFF for row in rows):
        fix = f"raise max_new_tokens ({policy.config.max_new_tokens}), or keep them with truncated: keep"
        log(f"generate: {policy.config.name}: {cut} texts were cut off and dropped: {fix}")
