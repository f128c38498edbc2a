"""Replies that a run can use again: the same question is asked once, however many tasks wait for its answer.

Notes on a long text are the same for all criteria and for both orders, and so is what a judge first says of a response
that is in several comparisons. Only replies are remembered, which take long to write; a label is read in one pass. What
a server's answer cost is paid by the task that asked first. Failures are nobody else's: who waited asks once more.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Generic, TypeVar

from rewardkit.judge.contract import Backend, ByItem, Completion, Request
from rewardkit.types import content_id

MOST = 4096
"""Replies that are remembered, the last ones; of their questions a hash is kept and no text."""
W = TypeVar("W")


class Remembered(Generic[W]):
    """Replies by question, and who waits for which of them.

    Args:
        backend: Who answers. Where it answers by item, no two questions are the same.
    """

    def __init__(self, backend: Backend) -> None:
        self._none = isinstance(backend, ByItem) and backend.by_item
        self._replies: OrderedDict[str, Completion] = OrderedDict()
        self._waiting: dict[str, list[W]] = {}

    def key(self, request: Request) -> str:
        """Return what a question is remembered by; empty for one that is to be answered each time."""
        # A reply that is drawn without a seed would be another one each time.
        drawn = request.seed is None and request.temperature is not None
        if self._none or request.labels or drawn:
            return ""
        return content_id("request", repr(replace(request, about="")))

    def find(self, key: str) -> Completion | None:
        """Return the reply to a question that was answered before; it costs nothing now, and takes no time."""
        if (known := self._replies.get(key)) is not None:
            self._replies.move_to_end(key)
        return known

    def awaits(self, key: str, who: W) -> bool:
        """Let somebody wait for a question that is under way; False, and under way from now on, where it is not.

        Args:
            key: Of the question.
            who: Who needs the answer.
        """
        if not key:
            return False
        if key in self._waiting:
            self._waiting[key].append(who)
            return True
        self._waiting[key] = []
        return False

    def answered(self, key: str, completion: Completion) -> list[W]:
        """Take the answer to a question that was under way, and return who waited for it.

        Args:
            key: Of the question.
            completion: The answer; a failure is not remembered.
        """
        if key and not completion.failure:
            cost = None if completion.cost is None else 0.0
            self._replies[key] = replace(completion, attempts=0, paid_again=0, cost=cost, seconds=0.0)
            if len(self._replies) > MOST:
                self._replies.popitem(last=False)
        return self._waiting.pop(key, [])
