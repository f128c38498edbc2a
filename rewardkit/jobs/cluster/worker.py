"""One judge on a cluster: opens its backend once, is given shards, and writes what it says about each to a file."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rewardkit.errors import JobFailed, ModelError, RewardkitError, UserError
from rewardkit.jobs.cluster.ledger import Call, SharedAnswers, SharedBudget
from rewardkit.judge.failures import reason_of
from rewardkit.judge.judges import Judges, open_judges
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge.shards import read_pairs, read_ratings
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.record_tables import write_rows
from rewardkit.store.rows import encode
from rewardkit.types import Annotator, Label, Rating

if TYPE_CHECKING:
    from rewardkit.judge.demonstrations import Example

REPORTED_EVERY = 0.5
Kind = Literal["labels", "ratings"]


@dataclass(frozen=True)
class ShardWork:
    """A shard to be judged.

    Attributes:
        kind: What is made of it.
        shard: The file with the items.
        to: The file that is to hold what is said.
        total: How many comparisons the store holds, by which a limit states its sampling probability.
    """

    kind: Kind
    shard: Path
    to: Path
    total: int


@dataclass(frozen=True)
class Orders:
    """What all judges of a job are told.

    Attributes:
        config: The section `judge`, as JSON.
        examples: For demonstrations.
        annotators: Ids under which they are to speak; another model or revision on a node would change them.
        ledger: The ledger's actor.
        folder: From which relative paths in the config begin.
    """

    config: str
    examples: list[Example]
    annotators: list[str]
    ledger: Any
    folder: Path


@dataclass(frozen=True)
class Refusal:
    """A foreseen error in plain values, as which it travels whole.

    Attributes:
        ours: Whether the user can do nothing about it.
        what: What went wrong.
        told: Its other parts, by name.
    """

    ours: bool
    what: str
    told: dict[str, str]

    @classmethod
    def of(cls, error: RewardkitError) -> Refusal:
        """Take an error's words."""
        told = {"where": error.where, "expected": error.expected, "fix": error.fix}
        return cls(not isinstance(error, UserError), error.what, told)

    def error(self) -> RewardkitError:
        """Return an error that says the same."""
        return (JobFailed if self.ours else UserError)(self.what, **self.told)


class ShardJudge:
    """A judge on a cluster.

    Args:
        name: By which the ledger knows it.
        orders: What it is told.
    """

    def __init__(self, name: str, orders: Orders) -> None:
        self._name, self._orders = name, orders
        self._config = JudgeConfig.model_validate_json(orders.config)
        self._judges: Judges | None = None
        self._call = caller(orders.ledger)

    def open(self) -> Refusal | None:
        """Open the backend; return why it cannot be."""
        if self._orders.folder.is_dir():
            # The process is this judge's own.
            os.chdir(self._orders.folder)
        try:
            opened = open_judges(self._config, SharedAnswers(self._call), examples=self._orders.examples)
            ours = [each.annotator.id for each in (opened.pairs, opened.ratings) if each]
            if ours != self._orders.annotators:
                raise ModelError(
                    "a node of the cluster would judge as somebody else",
                    where="judge.engine",
                    expected="the same rewardkit, rubric files, model, revision and processor on every node",
                    fix="install and copy the same everywhere; set judge.dtype where processors differ",
                )
            self._judges = opened
        except RewardkitError as error:
            return Refusal.of(error)
        return None

    def judge(self, work: ShardWork) -> Refusal | None:
        """Judge a shard; its file is there, whole, when this returns. Return why it cannot be."""
        self._call("takes", self._name, work.to)
        try:
            write_rows(work.kind, work.to, map(encode, self._answers(work)))
        except RewardkitError as error:
            return Refusal.of(error)
        else:
            self._call("written", self._name)
        finally:
            # A provider's batch goes on without us: the next run takes and pays its answers.
            self._call("ended", self._name, not self._config.server.batch)
        return None

    def _answers(self, work: ShardWork) -> Iterator[Label | Rating]:
        """Yield what is said until the ledger says that it is enough."""
        told, unreported, failed = time.monotonic(), 0, Counter[str]()
        with closing(self._stream(work)) as stream:
            for answer in stream:
                if isinstance(answer, Annotator):
                    continue
                yield answer
                unreported += 1
                if answer.status == "failed":
                    failed[reason_of(answer)] += 1
                if time.monotonic() - told >= REPORTED_EVERY:
                    if not self._call("answered", self._name, unreported, failed):
                        return
                    told, unreported, failed = time.monotonic(), 0, Counter()
        self._call("answered", self._name, unreported, failed)

    def _stream(self, work: ShardWork) -> Generator[Annotator | Label | Rating, None, None]:
        assert self._judges is not None
        # Failures are counted by the ledger: a share of few means nothing.
        config = self._config.model_copy(update={"max_failure_rate": 1.0})
        budget = SharedBudget(call=self._call, judge=self._name)
        if work.kind == "labels":
            pairs = read_pairs(work.shard)
            yield from judge_comparisons(
                pairs.items, self._judges.pairs, config, already=pairs.already, total=work.total, budget=budget
            )
            return
        assert self._judges.ratings is not None
        rated = read_ratings(work.shard)
        yield from judge_ratings(rated.items, self._judges.ratings, config, already=rated.already, budget=budget)


def caller(ledger: Any) -> Call:
    """Return what calls a ledger's methods by name and waits for the answer."""
    import ray

    return lambda method, *arguments: ray.get(getattr(ledger, method).remote(*arguments))
