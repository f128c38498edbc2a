"""The judges of a cascade, from cheap to dear, and what each said of the comparisons that it was passed on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np

from rewardkit import runs
from rewardkit.aggregation.orders import swap_average
from rewardkit.aggregation.votes import judge_label_logit
from rewardkit.calibration.estimates import Array
from rewardkit.cascade_config import CascadeJudge
from rewardkit.jobs.labels import JUDGE
from rewardkit.jobs.stages import Job, given
from rewardkit.judge.judges import open_judges
from rewardkit.progress import log
from rewardkit.store.rows import ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Label, Order, Record


class Ladder:
    """The judges of a cascade, from cheap to dear, each with its database.

    Args:
        job: Whose config names them.
        folder: Where their databases are.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        self._job, self._folder = job, folder
        self.judges: tuple[CascadeJudge, ...] = given(job.config.cascade).judges
        self.logits: list[dict[str, float]] = [{} for _ in self.judges]
        self.lengths: dict[str, float] = {}
        self.annotators: list[str] = ["" for _ in self.judges]

    def ask(self, number: int, wanted: AbstractSet[str], stage: runs.StageFolder) -> None:
        """Let a judge label comparisons, by id; what it has labelled is not asked again."""
        judge, config = self.judges[number], self._job.config.model_copy(update={"judge": self.judges[number]})
        who = self.annotators[number] = open_judges(judge).pairs.annotator.id
        # Another judge under the same name has another database: what this one was passed on may be less.
        path = self._folder / f"{number + 1}-{judge.name}-{who[:8]}.db"
        log(f"cascade: {judge.name}: {len(wanted):,} comparisons")
        with Store.open(self._job.config.database, create=False) as store, Store.open(path) as own:
            own.add(self._records(store.comparisons(), wanted))
        JUDGE.work(Job(config.model_copy(update={"db": str(path)})), stage)
        with Store.open(path, create=False) as own:
            self.logits[number] = _logits(label for label in own.labels() if label.annotator_id == who)

    def features(self, items: Sequence[str], judges: int) -> Array:
        """Return what the first judges said of comparisons, and the ratio of lengths, (items, 1 + judges)."""
        said = [[self.lengths[i], *(logits.get(i, math.nan) for logits in self.logits[:judges])] for i in items]
        return np.array(said, dtype=np.float64).reshape(len(items), judges + 1)

    def _records(self, comparisons: Iterable[ComparisonTexts], wanted: AbstractSet[str]) -> Iterator[Record]:
        for texts in comparisons:
            if texts.comparison.id in wanted:
                first, second = len(texts.response_a.text), len(texts.response_b.text)
                self.lengths[texts.comparison.id] = math.log((1 + first) / (1 + second))
                yield from (texts.prompt, texts.response_a, texts.response_b, texts.comparison)


def _logits(labels: Iterable[Label]) -> dict[str, float]:
    """Return log odds of A by comparison, orders averaged."""
    said: dict[str, dict[Order | None, float]] = {}
    for label in labels:
        if label.status == "ok":
            said.setdefault(label.comparison_id, {})[label.order_shown] = judge_label_logit(label)
    return {item: swap_average(logits).logit for item, logits in said.items()}
