"""Counting failed records, and stopping a job in which too many fail."""

from __future__ import annotations

import re
from collections import Counter

from rewardkit.errors import JobFailed
from rewardkit.judge.writing import Written
from rewardkit.types import Label, Rating

EARLIEST = 20
ATTEMPTS = re.compile(r" \([0-9]+ attempts\)$")
VARYING = re.compile(r"(HTTP [0-9]{3})\b|\b(?=[a-z_-]*[0-9])[\w-]{8,}|[0-9]+(?:[.,:][0-9]+)*", re.IGNORECASE)
"""What differs between failures for the same reason: ids with a digit in them, and numbers. That of HTTP does not."""


class FailureGuard:
    """Counts the failed among records, by reason.

    Args:
        max_failure_rate: The largest share of failed records that a job survives.
        stage: Whose records they are, for errors: its section of the config.
        records: What they are called.
    """

    def __init__(self, max_failure_rate: float, *, stage: str = "judge", records: str = "judgements") -> None:
        self._most, self._stage, self._records = max_failure_rate, stage, records
        self.done = 0
        self.reasons: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        """How many records failed."""
        return self.reasons.total()

    def count(self, record: Label | Rating | tuple[Label, ...] | Written) -> None:
        """Count one record, or each of a group's."""
        for each in record if isinstance(record, tuple) else (record,):
            self.done += 1
            if each.status == "failed":
                self.reasons[reason_of(each)] += 1

    def check(self, *, final: bool = False) -> None:
        """Stop the job if too many failed; before the end only once there is enough to go by.

        Raises:
            JobFailed: More than the allowed share failed.
        """
        if self.failed <= self._most * self.done or not (final or self.done >= EARLIEST):
            return
        reasons = "; ".join(f"{count} x {reason}" for reason, count in self.reasons.most_common(5))
        key = f"{self._stage}.max_failure_rate"
        raise JobFailed(
            f"{self.failed} of {self.done} {self._records} failed: {reasons}",
            where=self._stage,
            expected=f"at most {self._most:.0%} ({key})",
            fix=f"remove the cause, or raise {key}; the failed ones are kept with their reasons",
        )


def reason_of(record: Label | Rating | Written) -> str:
    """Return why a record failed, without what differs from one failure to the next; the record itself keeps all."""
    return VARYING.sub(lambda found: found[1] or "…", ATTEMPTS.sub("", record.reason))
