"""Tasks under way: which of their questions wait for an answer, and what is asked next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic

from rewardkit.judge.contract import Completion, Request, Steps
from rewardkit.judge.tasks import R, Task


class Talk(Generic[R]):
    """One task, from its first questions to its record.

    Args:
        task: What is asked about.

    Attributes:
        questions: Those of this round; none when there is a record.
        record: What came of the answers; None before the last of them.
        paid: What the answers cost, by the key under which that is noted.
    """

    def __init__(self, task: Task[R]) -> None:
        self._steps: Steps[R] = task.steps
        self._answers: dict[int, Completion] = {}
        self.questions: tuple[Request, ...] = ()
        self.record: R | None = None
        self.paid: list[tuple[str, float]] = []
        self._go_on(None)

    def answer(self, place: int, completion: Completion) -> bool:
        """Take the answer to one question of this round; True where it was the last one.

        Args:
            place: Of the question among `questions`.
            completion: The answer.
        """
        if completion.key and completion.cost:
            self.paid.append((completion.key, completion.cost))
        if len(self.questions) == 1:
            self._go_on((completion,))
            return True
        self._answers[place] = completion
        if len(self._answers) < len(self.questions):
            return False
        self._go_on(tuple(self._answers[at] for at in range(len(self.questions))))
        return True

    def _go_on(self, answers: tuple[Completion, ...] | None) -> None:
        self._answers = {}
        try:
            # A round without questions has all its answers.
            while not (asked := next(self._steps) if answers is None else self._steps.send(answers)):
                answers = ()
            self.questions = asked
        except StopIteration as stop:
            self.questions, self.record = (), stop.value


def open_questions(talks: Iterable[Talk[R]]) -> Mapping[tuple[int, int], Request]:
    """Return what is to be answered next, by (number of the talk, place in its round)."""
    return {(n, place): request for n, talk in enumerate(talks) for place, request in enumerate(talk.questions)}
