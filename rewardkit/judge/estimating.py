"""What a run will ask, before it asks: a few of its tasks are gone through with answers that say nothing."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from rewardkit.judge.contract import (
    Backend,
    Completion,
    PairProtocol,
    PairTexts,
    Priced,
    RatingProtocol,
    Request,
    ResponseTexts,
)
from rewardkit.judge.judges import Judge
from rewardkit.judge.list_contract import ListProtocol
from rewardkit.judge.ranking_tasks import GroupLeft, list_tasks
from rewardkit.judge.resuming import PairKey, RatingKey
from rewardkit.judge.talks import Talk
from rewardkit.judge.tasks import R, Task, pair_tasks, rating_tasks
from rewardkit.judge_config import JudgeConfig

SAMPLED_TASKS = 64


@dataclass(frozen=True)
class Estimate:
    """How much there is to judge.

    Attributes:
        items: Comparisons, groups or responses with something left to judge.
        records: Labels or ratings that are to be made by asking.
        requests: Requests to the backend, at most, about: a judge may need fewer of them.
        tokens: Tokens of all requests and of the longest replies, from a sample of them.
        written: Those of the replies.
        cost: At most, about, if no request is sent twice; 0 where nobody knows the prices.
        checked: Ratings that code gives, without a request.
    """

    items: int
    records: int
    requests: int
    tokens: int
    written: int = 0
    cost: float = 0.0
    checked: int = 0

    def scaled(self, items: int, records: int) -> Estimate:
        """Return the estimate for so many items and records, of which this one saw a sample."""
        if records == self.records:
            return self
        share = records / self.records
        requests, tokens, written = (round(each * share) for each in (self.requests, self.tokens, self.written))
        cost = self.cost * share
        return replace(self, items=items, records=records, requests=requests, tokens=tokens, written=written, cost=cost)

    def __str__(self) -> str:
        cost = f", at most about {self.cost:.2f} to pay" if self.cost >= 0.01 else ", less than 0.01 to pay"
        cost = cost if self.cost else ""
        return f"{self.items:,} items, {self.requests:,} requests, about {self.tokens:,} tokens{cost}"


def estimate_comparisons(
    comparisons: Iterable[PairTexts],
    judge: Judge[PairProtocol],
    config: JudgeConfig,
    *,
    already: Container[PairKey] = frozenset(),
) -> Estimate:
    """Say how much `judge_comparisons` would do with the same arguments, without loading the model."""
    return estimate(pair_tasks(islice(comparisons, config.limit), judge, config.orders, already), judge.backend)


def estimate_groups(groups: Iterable[GroupLeft], judge: Judge[ListProtocol]) -> Estimate:
    """Say how much `judge_groups` would do with the same arguments, without loading the model."""
    labels = 0

    def counting() -> Iterable[GroupLeft]:
        nonlocal labels
        for group in groups:
            labels += sum(map(len, group.left.values()))
            yield group

    return replace(estimate(list_tasks(counting(), judge), judge.backend), records=labels)


def estimate_ratings(
    responses: Iterable[ResponseTexts],
    judge: Judge[RatingProtocol],
    config: JudgeConfig,
    *,
    already: Container[RatingKey] = frozenset(),
) -> Estimate:
    """Say how much `judge_ratings` would do with the same arguments, without loading the model."""
    checked, by_code = 0, judge.rubric.checked()

    def counting() -> Iterable[ResponseTexts]:
        nonlocal checked
        for texts in islice(responses, config.limit):
            checked += sum((texts.response.id, each.name, 0) not in already for each in by_code)
            yield texts

    return replace(estimate(rating_tasks(counting(), judge, already), judge.backend), checked=checked)


def price_of(backend: Backend, request: Request) -> float:
    """Return the most that one attempt may cost, about; 0 where nobody pays or nobody knows."""
    return backend.price(request) if isinstance(backend, Priced) else 0.0


def estimate(tasks: Iterable[Task[R]], backend: Backend) -> Estimate:
    """Count tasks, and what an even sample of them asks (reservoir sampling, Vitter 1985).

    Args:
        tasks: What is asked about.
        backend: Who would answer; its model is not loaded.
    """
    random, sample = Random(0), list[Task[R]]()
    items = records = 0
    last = None
    for task in tasks:
        items, last, records = items + (task.item != last), task.item, records + 1
        place = len(sample) if records <= SAMPLED_TASKS else random.randrange(records)
        if place < SAMPLED_TASKS:
            sample[place : place + 1] = [task]
    if not sample:
        return Estimate(items, records, 0, 0)
    asked = [request for task in sample for request in _asked(task)]
    share = records / len(sample)
    read = sum(map(backend.count_tokens, asked))
    written = sum(request.reply_tokens for request in asked)
    cost = sum(price_of(backend, request) for request in asked) * share
    requests, tokens, written = (round(each * share) for each in (len(asked), read + written, written))
    return Estimate(items, records, requests, tokens, written, cost)


def _asked(task: Task[R]) -> list[Request]:
    """Go through a task with answers that say nothing: a judge in doubt is asked the most."""
    talk, asked = Talk(task), list[Request]()
    while questions := talk.questions:
        asked += questions
        for place, request in enumerate(questions):
            talk.answer(place, _nothing(request))
    return asked


def _nothing(request: Request) -> Completion:
    if request.labels:
        return Completion(dict.fromkeys(request.labels, -math.log(len(request.labels))))
    return Completion(reply="word " * request.reply_tokens)
