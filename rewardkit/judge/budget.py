"""What a job may cost: nothing is sent that could exceed it.

Each request reserves the most that one attempt may cost before it is sent, once more before it is sent again after an
attempt that may be billed, and is settled with what all of them did cost. Tokens are estimated before and counted by
the server afterwards; only where it counts more can a budget be exceeded, by what is under way at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from rewardkit.errors import JobFailed
from rewardkit.progress import log


class UsedUp(JobFailed):
    """The money did not last."""


@dataclass
class Budget:
    """Money for one judge.

    Attributes:
        most: What may be spent; None without a limit.
        warn: What is said aloud when it is spent.
        spent: So far, in earlier runs too.
        section: Of the config that sets the limits, for messages.
        used_up: Whether requests were left that it could not pay.
    """

    most: float | None = None
    warn: float | None = None
    spent: float = 0.0
    _reserved: float = 0.0
    _warned: bool = False
    used_up: bool = False
    section: str = "judge"
    # A backend asks from its own thread whether it may try once more.
    _lock: Lock = field(default_factory=Lock, repr=False)

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; False where it is not there now."""
        with self._lock:
            # What is there already is for nothing, however much more than was thought is spent.
            if amount and self.most is not None and self.spent + self._reserved + amount > self.most:
                return False
            self._reserved += amount
            return True

    def settle(self, reserved: float, cost: float) -> None:
        """Replace what was set aside by what it cost."""
        with self._lock:
            self._reserved -= reserved
            self.spent += cost
        if self.warn is not None and self.spent >= self.warn and not self._warned:
            self._warned = True
            log(f"{self.section}: {self.spent:.2f} are spent ({self.section}.warn_cost is {self.warn:.2f})")

    def check(self) -> None:
        """End a job whose money did not last.

        Raises:
            UsedUp: Requests were left that it could not pay.
        """
        if self.used_up:
            raise UsedUp(
                f"the budget is used up: {self.spent:.4f} of {self.most:.4f} are spent, and more is left to ask",
                where=f"{self.section}.max_cost",
                fix="raise it and run again; what was answered is kept and is not paid twice",
            )
