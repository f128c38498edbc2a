"""The judge's run: comparisons and responses in, labels and ratings out, as a stream.

Records come in batches, so that the caller commits as they arrive; what is committed is passed back as
`already` when the job is resumed. A caller that stops consuming stops the judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import closing
from itertools import count, islice, takewhile
from typing import Generic

from rewardkit.judge.budget import Budget
from rewardkit.judge.cache import Caching
from rewardkit.judge.contract import (
    Backend,
    Completion,
    PairProtocol,
    PairTexts,
    Priced,
    RatingProtocol,
    Request,
    ResponseTexts,
    Streaming,
)
from rewardkit.judge.failures import FailureGuard
from rewardkit.judge.judges import Judge
from rewardkit.judge.list_contract import ListProtocol
from rewardkit.judge.ranking_tasks import GroupLeft, list_tasks
from rewardkit.judge.remembering import Remembered
from rewardkit.judge.resuming import PairKey, RatingKey
from rewardkit.judge.talks import Talk
from rewardkit.judge.tasks import R, Task, checked_ratings, pair_tasks, rating_tasks
from rewardkit.judge_config import JudgeConfig
from rewardkit.types import Annotator, Label, Rating

REQUESTS_AT_A_TIME = 32
RECORDS_AT_A_TIME = 32


def judge_comparisons(  # noqa: PLR0913 - keyword-only past the first three
    comparisons: Iterable[PairTexts],
    judge: Judge[PairProtocol],
    config: JudgeConfig,
    *,
    already: Container[PairKey] = frozenset(),
    total: int | None = None,
    spent: float = 0.0,
    budget: Budget | None = None,
) -> Generator[Annotator | Label, None, None]:
    """Label comparisons, each in every order that the config asks for.

    Args:
        comparisons: Comparisons with their texts; read as the labels are consumed.
        judge: Who labels.
        config: Orders, limit and max_failure_rate are read from it.
        already: (comparison id, order, repeat) of the labels that are not to be made again.
        total: How many comparisons there are, by which labels made under a limit state their
            `sampling_prob`; it stays 1 if absent.
        spent: What earlier runs of this judge cost.
        budget: Where money is asked for; one of this run's own, by the config, if absent.

    Yields:
        The annotator, then the labels in batches, in the comparisons' frame.

    Raises:
        JobFailed: Too many labels failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    yield judge.annotator
    budget = budget or Budget(config.max_cost, config.warn_cost, spent)
    share = _sampling_prob(config.limit, total)
    tasks = pair_tasks(islice(comparisons, config.limit), judge, config.orders, already, share)
    yield from _records(tasks, judge.backend, config, budget)


def judge_groups(
    groups: Iterable[GroupLeft],
    judge: Judge[ListProtocol],
    config: JudgeConfig,
    *,
    total: int | None = None,
    spent: float = 0.0,
) -> Generator[Annotator | Label, None, None]:
    """Label the pairs of groups, each group shown once in each order in which labels are left.

    Args:
        groups: What is left of groups, with their texts; read as the labels are consumed.
        judge: Who labels.
        config: max_failure_rate is read from it, and the limit within which the groups' pairs were chosen.
        total: How many comparisons there are, by which labels made under a limit state their `sampling_prob`.
        spent: What earlier runs of this judge cost.

    Yields:
        The annotator, then the labels group by group, in the comparisons' frame.

    Raises:
        JobFailed: Too many labels failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    yield judge.annotator
    tasks = list_tasks(groups, judge, _sampling_prob(config.limit, total))
    with closing(_records(tasks, judge.backend, config, Budget(config.max_cost, config.warn_cost, spent))) as asking:
        for labels in asking:
            yield from labels


def judge_ratings(  # noqa: PLR0913 - keyword-only past the first three
    responses: Iterable[ResponseTexts],
    judge: Judge[RatingProtocol],
    config: JudgeConfig,
    *,
    already: Container[RatingKey] = frozenset(),
    spent: float = 0.0,
    budget: Budget | None = None,
) -> Generator[Annotator | Rating, None, None]:
    """Rate responses on every criterion of the rubric, on the rubric's scale.

    Args:
        responses: Responses with their prompts; read as the ratings are consumed.
        judge: Who rates.
        config: Limit (of responses) and max_failure_rate are read from it.
        already: (response id, criterion, repeat) of the ratings that are not to be made again.
        spent: What earlier runs of this judge cost, comparisons included.
        budget: Where money is asked for; one of this run's own, by the config, if absent.

    Yields:
        The annotator, then the ratings in batches.

    Raises:
        JobFailed: Too many ratings failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    yield judge.annotator
    budget = budget or Budget(config.max_cost, config.warn_cost, spent)
    asked, checked, remaining = judge.rubric.by_weight(), deque[Rating](), islice(responses, config.limit)
    first: list[ResponseTexts] = []
    # Until there is something to ask, nothing waits for an answer: what is checked goes out at once.
    while not first and (texts := next(remaining, None)) is not None:
        yield from checked_ratings([texts], judge, already)
        first = [texts for each in asked if (texts.response.id, each.name, 0) not in already][:1]

    def checking() -> Iterator[ResponseTexts]:
        yield from first
        for texts in remaining:
            checked.extend(checked_ratings([texts], judge, already))
            yield texts

    asking = _records(rating_tasks(checking(), judge, already), judge.backend, config, budget)
    with closing(asking):
        for rating in asking:
            while checked:
                yield checked.popleft()
            yield rating
    yield from checked


def _sampling_prob(limit: int | None, total: int | None) -> float:
    """Return the share of all comparisons that a limit lets through.

    The first ones are taken, always the same, so that a resumed job goes on with them. Comparisons come by
    id, and ids are hashes of content: to whoever weighs the labels, those taken are a uniform sample.
    """
    return min(1.0, limit / total) if limit and total else 1.0


def _records(
    tasks: Iterator[Task[R]], backend: Backend, config: JudgeConfig, budget: Budget
) -> Generator[R, None, None]:
    yield from answered(tasks, backend, FailureGuard(config.max_failure_rate), budget)


def answered(
    tasks: Iterator[Task[R]], backend: Backend, guard: FailureGuard, budget: Budget
) -> Generator[R, None, None]:
    """Go through tasks with a backend, many at the same time, and yield what comes of each as it is there.

    Args:
        tasks: What is asked.
        backend: Who answers.
        guard: Counts those that failed.
        budget: Where money is asked for.

    Raises:
        JobFailed: Too many failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    if isinstance(backend, Priced):
        backend.allow = budget.reserve
    talks = _Talks(tasks, backend, budget)
    with closing(_completions(backend, talks.requests())) as completions:
        for number, completion in completions:
            talks.answered(number, completion)
            yield from _counted(talks.records, guard)
    # Those about which there was nothing to ask wait for no answer.
    yield from _counted(talks.records, guard)
    guard.check(final=True)
    budget.check()


def _counted(records: deque[R], guard: FailureGuard) -> Iterator[R]:
    while records:
        record, before = records.popleft(), guard.done
        guard.count(record)
        yield record
        if guard.done // RECORDS_AT_A_TIME > before // RECORDS_AT_A_TIME:
            guard.check()


class _Talks(Generic[R]):
    """All talks under way with one backend: their questions one after the other, their answers as they come."""

    def __init__(self, tasks: Iterator[Task[R]], backend: Backend, budget: Budget) -> None:
        self._tasks: Iterator[Task[R]] = tasks
        # Asked once: whether a class has all of a protocol takes as long as a question does.
        self._price = backend.price if isinstance(backend, Priced) else None
        self._budget = budget
        self._cache = backend.cache if isinstance(backend, Caching) else None
        self._next: deque[tuple[Talk[R], int]] = deque()
        self._waiting: dict[int, tuple[Talk[R], int, float, str]] = {}
        self._replies: Remembered[tuple[Talk[R], int]] = Remembered(backend)
        self.records: deque[R] = deque()

    def requests(self) -> Iterator[Request | None]:
        """Yield questions; None where there is none before another one is answered."""
        numbers = count()
        while True:
            while not self._next:
                if (task := next(self._tasks, None)) is not None:
                    self._ask_on(Talk(task))
                elif self._waiting:
                    yield None
                else:
                    return
            talk, place = self._next.popleft()
            request = talk.questions[place]
            key = self._replies.key(request)
            if (known := self._replies.find(key)) is not None:
                self._take(talk, place, known)
                continue
            if self._replies.awaits(key, (talk, place)):
                continue
            price = self._price(request) if self._price else 0.0
            while not self._budget.reserve(price):
                if not self._waiting:
                    self._budget.used_up = True
                    return
                # What is under way may cost less than was set aside for it.
                yield None
            self._waiting[next(numbers)] = (talk, place, price, key)
            yield request

    def answered(self, number: int, completion: Completion) -> None:
        """Take an answer; what it completes is among `records`, or asks on."""
        talk, place, price, key = self._waiting.pop(number)
        # What an answer from before cost is among what was spent when the run began.
        cost = completion.cost or 0.0 if completion.attempts else 0.0
        self._budget.settle(price * (1 + completion.paid_again), cost)
        # Who waited comes before anybody new, and finds the reply; of a failure the first of them asks once more.
        self._next.extendleft(reversed(self._replies.answered(key, completion)))
        self._take(talk, place, completion)

    def _take(self, talk: Talk[R], place: int, completion: Completion) -> None:
        if talk.answer(place, completion):
            self._ask_on(talk)

    def _ask_on(self, talk: Talk[R]) -> None:
        self._next.extend((talk, place) for place in range(len(talk.questions)))
        if talk.record is not None:
            if talk.paid and self._cache is not None:
                # Of several records the last tells: until it is committed, all of the cost stays noted.
                last = talk.record[-1] if isinstance(talk.record, tuple) else talk.record
                self._cache.told_by(last.id, talk.paid)
            self.records.append(talk.record)


def _completions(backend: Backend, requests: Iterator[Request | None]) -> Generator[tuple[int, Completion], None, None]:
    if isinstance(backend, Streaming):
        with closing(backend.stream(requests)) as stream:
            yield from stream
        return
    asked = 0
    while chunk := list(takewhile(lambda request: request is not None, islice(requests, REQUESTS_AT_A_TIME))):
        yield from enumerate(backend.complete([request for request in chunk if request]), asked)
        asked += len(chunk)
