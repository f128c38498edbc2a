"""The judge's run: comparisons and responses in, labels and ratings out, as a stream.

Records come in batches, so that the caller commits as they arrive; what is committed is passed back as
`already` when the job is resumed. A caller that stops consuming stops the judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from random import Random

from rewardkit.judge.budget import Budget
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
from rewardkit.judge.tasks import PairKey, R, RatingKey, Task, checked_ratings, pair_tasks, rating_tasks
from rewardkit.judge_config import JudgeConfig
from rewardkit.types import Annotator, Label, Rating

REQUESTS_AT_A_TIME = 32
SAMPLED_REQUESTS = 64


@dataclass(frozen=True)
class Estimate:
    """How much there is to judge.

    Attributes:
        items: Comparisons or responses with something left to judge.
        requests: Requests to the backend.
        tokens: Tokens of all requests, from a sample of them.
        cost: At most, about, if no request is sent twice; 0 where nobody knows the prices.
        checked: Ratings that code gives, without a request.
    """

    items: int
    requests: int
    tokens: int
    cost: float = 0.0
    checked: int = 0

    def __str__(self) -> str:
        cost = f", at most about {self.cost:.2f} to pay" if self.cost else ""
        return f"{self.items:,} items, {self.requests:,} requests, about {self.tokens:,} tokens{cost}"


def judge_comparisons(  # noqa: PLR0913 - keyword-only past the first three
    comparisons: Iterable[PairTexts],
    judge: Judge[PairProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[PairKey] = frozenset(),
    total: int | None = None,
    spent: float = 0.0,
) -> Iterator[Annotator | Label]:
    """Label comparisons, each in every order that the config asks for.

    Args:
        comparisons: Comparisons with their texts; read as the labels are consumed.
        judge: Who labels.
        config: Orders, limit and max_failure_rate are read from it.
        already: (comparison id, order, repeat) of the labels that are not to be made again.
        total: How many comparisons there are, by which labels made under a limit state their
            `sampling_prob`; it stays 1 if absent.
        spent: What earlier runs of this judge cost.

    Yields:
        The annotator, then the labels in batches, in the comparisons' frame.

    Raises:
        JobFailed: Too many labels failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    annotator = judge.annotator
    yield annotator
    share = _sampling_prob(config.limit, total)
    tasks = pair_tasks(islice(comparisons, config.limit), judge, config.orders, already, share)
    yield from _records(tasks, judge.backend, config, spent)


def judge_ratings(
    responses: Iterable[ResponseTexts],
    judge: Judge[RatingProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[RatingKey] = frozenset(),
    spent: float = 0.0,
) -> Iterator[Annotator | Rating]:
    """Rate responses on every criterion of the rubric, on the rubric's scale.

    Args:
        responses: Responses with their prompts; read as the ratings are consumed.
        judge: Who rates.
        config: Limit (of responses) and max_failure_rate are read from it.
        already: (response id, criterion, repeat) of the ratings that are not to be made again.
        spent: What earlier runs of this judge cost, comparisons included.

    Yields:
        The annotator, then the ratings in batches.

    Raises:
        JobFailed: Too many ratings failed, or the budget is used up; what there is was yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    annotator = judge.annotator
    yield annotator
    checked: deque[Rating] = deque()

    def checking() -> Iterator[ResponseTexts]:
        for texts in islice(responses, config.limit):
            checked.extend(checked_ratings([texts], judge, already))
            yield texts

    for rating in _records(rating_tasks(checking(), judge, already), judge.backend, config, spent):
        while checked:
            yield checked.popleft()
        yield rating
    yield from checked


def estimate_comparisons(
    comparisons: Iterable[PairTexts],
    judge: Judge[PairProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[PairKey] = frozenset(),
) -> Estimate:
    """Say how much `judge_comparisons` would do with the same arguments, without loading the model."""
    return _estimate(pair_tasks(islice(comparisons, config.limit), judge, config.orders, already), judge.backend)


def estimate_ratings(
    responses: Iterable[ResponseTexts],
    judge: Judge[RatingProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[RatingKey] = frozenset(),
) -> Estimate:
    """Say how much `judge_ratings` would do with the same arguments, without loading the model."""
    checked = 0

    def counting() -> Iterator[ResponseTexts]:
        nonlocal checked
        for texts in islice(responses, config.limit):
            checked += sum((texts.response.id, each.name, 0) not in already for each in judge.rubric.checked())
            yield texts

    return replace(_estimate(rating_tasks(counting(), judge, already), judge.backend), checked=checked)


def _sampling_prob(limit: int | None, total: int | None) -> float:
    """Return the share of all comparisons that a limit lets through.

    The first ones are taken, always the same, so that a resumed job goes on with them. Comparisons come by
    id, and ids are hashes of content: to whoever weighs the labels, those taken are a uniform sample.
    """
    return min(1.0, limit / total) if limit and total else 1.0


def _records(tasks: Iterator[Task[R]], backend: Backend, config: JudgeConfig, spent: float) -> Iterator[R]:
    guard, budget = FailureGuard(config.max_failure_rate), Budget(config.max_cost, config.warn_cost, spent)
    waiting: dict[int, tuple[Task[R], float]] = {}
    if isinstance(backend, Priced):
        backend.allow = budget.reserve

    def requests() -> Iterator[Request | None]:
        for number, task in enumerate(tasks):
            price = _price(backend, task.request)
            while not budget.reserve(price):
                if not waiting:
                    budget.used_up = True
                    return
                # What is under way may cost less than was set aside for it.
                yield None
            waiting[number] = (task, price)
            yield task.request

    with closing(_completions(backend, requests())) as completions:
        for number, completion in completions:
            task, price = waiting.pop(number)
            budget.settle(price * (1 + completion.paid_again), completion.cost or 0.0)
            record = task.record(completion)
            guard.count(record)
            yield record
            if not guard.done % REQUESTS_AT_A_TIME:
                guard.check()
    guard.check(final=True)
    budget.check()


def _completions(backend: Backend, requests: Iterator[Request | None]) -> Generator[tuple[int, Completion], None, None]:
    if isinstance(backend, Streaming):
        with closing(backend.stream(requests)) as stream:
            yield from stream
        return
    asked = 0
    while chunk := list(takewhile(lambda request: request is not None, islice(requests, REQUESTS_AT_A_TIME))):
        yield from enumerate(backend.complete([request for request in chunk if request]), asked)
        asked += len(chunk)


def _estimate(tasks: Iterable[Task[R]], backend: Backend) -> Estimate:
    """Count requests, and the tokens of an even sample of them (reservoir sampling, Vitter 1985)."""
    random, sample = Random(0), list[Request]()
    items = requests = 0
    last = None
    for task in tasks:
        items, last, requests = items + (task.item != last), task.item, requests + 1
        place = len(sample) if requests <= SAMPLED_REQUESTS else random.randrange(requests)
        if place < SAMPLED_REQUESTS:
            sample[place : place + 1] = [task.request]
    if not sample:
        return Estimate(items, requests, 0)
    share = requests / len(sample)
    cost = sum(_price(backend, request) for request in sample) * share
    return Estimate(items, requests, round(sum(map(backend.count_tokens, sample)) * share), cost)


def _price(backend: Backend, request: Request) -> float:
    return backend.price(request) if isinstance(backend, Priced) else 0.0
