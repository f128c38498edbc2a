"""The judge's run: comparisons and responses in, labels and ratings out, as a stream.

Records come in batches, so that the caller commits as they arrive; what is committed is passed back as
`already` when the job is resumed. A caller that stops consuming stops the judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from random import Random

from rewardkit.config import JudgeConfig
from rewardkit.judge.contract import (
    Backend,
    Completion,
    PairProtocol,
    PairTexts,
    RatingProtocol,
    Request,
    ResponseTexts,
    Streaming,
)
from rewardkit.judge.failures import FailureGuard
from rewardkit.judge.judges import Judge
from rewardkit.judge.tasks import PairKey, R, RatingKey, Task, pair_tasks, rating_tasks
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
    """

    items: int
    requests: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.items:,} items, {self.requests:,} requests, about {self.tokens:,} tokens"


def judge_comparisons(
    comparisons: Iterable[PairTexts],
    judge: Judge[PairProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[PairKey] = frozenset(),
    total: int | None = None,
) -> Iterator[Annotator | Label]:
    """Label comparisons, each in every order that the config asks for.

    Args:
        comparisons: Comparisons with their texts; read as the labels are consumed.
        judge: Who labels.
        config: Orders, limit and max_failure_rate are read from it.
        already: (comparison id, order, repeat) of the labels that are not to be made again.
        total: How many comparisons there are, by which labels made under a limit state their
            `sampling_prob`; it stays 1 if absent.

    Yields:
        The annotator, then the labels in batches, in the comparisons' frame.

    Raises:
        JobFailed: Too many labels failed; the failed ones were yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    annotator = judge.annotator
    yield annotator
    share = _sampling_prob(config.limit, total)
    tasks = pair_tasks(islice(comparisons, config.limit), judge, config.orders, already, share)
    yield from _records(tasks, judge.backend, FailureGuard(config.max_failure_rate))


def judge_ratings(
    responses: Iterable[ResponseTexts],
    judge: Judge[RatingProtocol],
    config: JudgeConfig,
    *,
    already: AbstractSet[RatingKey] = frozenset(),
) -> Iterator[Annotator | Rating]:
    """Rate responses on every criterion of the rubric, on the rubric's scale.

    Args:
        responses: Responses with their prompts; read as the ratings are consumed.
        judge: Who rates.
        config: Limit (of responses) and max_failure_rate are read from it.
        already: (response id, criterion, repeat) of the ratings that are not to be made again.

    Yields:
        The annotator, then the ratings in batches.

    Raises:
        JobFailed: Too many ratings failed; the failed ones were yielded before.
        ModelError: The model cannot answer such requests at all.
    """
    annotator = judge.annotator
    yield annotator
    tasks = rating_tasks(islice(responses, config.limit), judge, already)
    yield from _records(tasks, judge.backend, FailureGuard(config.max_failure_rate))


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
    return _estimate(rating_tasks(islice(responses, config.limit), judge, already), judge.backend)


def _sampling_prob(limit: int | None, total: int | None) -> float:
    """Return the share of all comparisons that a limit lets through.

    The first ones are taken, always the same, so that a resumed job goes on with them. Comparisons come by
    id, and ids are hashes of content: to whoever weighs the labels, those taken are a uniform sample.
    """
    return min(1.0, limit / total) if limit and total else 1.0


def _records(tasks: Iterator[Task[R]], backend: Backend, guard: FailureGuard) -> Iterator[R]:
    waiting: deque[Task[R]] = deque()

    def requests() -> Iterator[Request]:
        for task in tasks:
            waiting.append(task)
            yield task.request

    with closing(_completions(backend, requests())) as completions:
        for completion in completions:
            record = waiting.popleft().record(completion)
            guard.count(record)
            yield record
            if not guard.done % REQUESTS_AT_A_TIME:
                guard.check()
    guard.check(final=True)


def _completions(backend: Backend, requests: Iterator[Request]) -> Generator[Completion, None, None]:
    if isinstance(backend, Streaming):
        with closing(backend.stream(requests)) as stream:
            yield from stream
        return
    while chunk := list(islice(requests, REQUESTS_AT_A_TIME)):
        yield from backend.complete(chunk)


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
    tokens = sum(map(backend.count_tokens, sample))
    return Estimate(items, requests, round(tokens / len(sample) * requests) if sample else 0)
