"""The stage `cascade`: cheap judges answer where human labels show that they may, dearer ones and people the rest.

Every judge first labels what people have labelled. On a part of it each judge's confidence is fitted, on the other
part one threshold is fixed so that what the cascade answers agrees with people as often as was asked for. Then each
judge labels only what the cheaper ones passed on. Their labels stand in databases of their own in the stage's folder;
into the store comes one label of the cascade for each comparison, and where no judge is sure enough it abstains.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rewardkit import runs
from rewardkit.aggregation.orders import swap_average
from rewardkit.aggregation.splits import place
from rewardkit.aggregation.votes import count_votes, judge_label_logit
from rewardkit.calibration.cascades import Cascade, StageLabels, choose_together
from rewardkit.calibration.estimates import Array
from rewardkit.calibration.opinions import OpinionModel, fit_opinions
from rewardkit.calibration.trials import uniform_hash
from rewardkit.cascade_config import CascadeConfig, CascadeJudge
from rewardkit.config import SplitConfig
from rewardkit.errors import DataError
from rewardkit.jobs.guidance import examples_of
from rewardkit.jobs.labels import JUDGE
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.judge.judges import open_judges
from rewardkit.progress import log
from rewardkit.store.rows import ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Order, Record

FILE = "cascade.json"
PROTOCOL = "cascade.v1"
ABSTAINED = "no judge is sure enough: people decide"


@dataclass(frozen=True)
class Labelled:
    """A comparison that people labelled, as far as the thresholds go.

    Attributes:
        unit: What it rises and falls with.
        p_human: Share of people who prefer A.
        fits: Whether confidences are fitted on it; thresholds are fixed on the others.
    """

    unit: str
    p_human: float
    fits: bool


@dataclass(frozen=True)
class Decided:
    """A cascade whose thresholds are fixed.

    Attributes:
        cascade: The thresholds, and what they promise.
        models: What each judge's verdict, beside those of the cheaper ones, is worth.
    """

    cascade: Cascade
    models: tuple[OpinionModel, ...]


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
        judge, path = self.judges[number], self._folder / f"{number + 1}-{self.judges[number].name}.db"
        log(f"cascade: {judge.name}: {len(wanted):,} comparisons")
        with Store.open(self._job.config.database, create=False) as store, Store.open(path) as own:
            own.add(self._records(store.comparisons(), wanted))
        config = self._job.config.model_copy(update={"db": str(path), "judge": judge})
        inner = Job(config, taught_by=self._job.config.database)
        JUDGE.work(inner, stage)
        # The database may hold what it said under other settings.
        who = self.annotators[number] = open_judges(judge, examples=examples_of(inner)).pairs.annotator.id
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


def _work(job: Job, folder: runs.StageFolder) -> Summary:
    labelled, others = _divided(job)
    ladder = Ladder(job, folder.path)
    for number in range(len(ladder.judges)):
        ladder.ask(number, labelled.keys(), folder)
    decided = _decide(ladder, labelled, given(job.config.cascade), job.config.seed)
    runs.write_json(folder.path / FILE, _told(decided.cascade))
    answered = _answer(ladder, decided, others, folder)
    counts = _keep(job, ladder, decided, answered, others)
    return {**_told(decided.cascade), **counts}


def _divided(job: Job) -> tuple[dict[str, Labelled], frozenset[str]]:
    """Return what people labelled and thresholds may rest on, by id, and all other comparisons.

    Labels that a reward model is calibrated or tested on stay out: the cascade's labels are what it is trained on.
    """
    config, cascade = job.config.aggregate, given(job.config.cascade)
    with Store.open(job.config.database, create=False) as store:
        comparisons = list(store.comparisons())
        ids = [texts.comparison.id for texts in comparisons]
        tallies = count_votes(ids, store.labels(superseded=True), store.annotators().values()).tallies
    placed = place(comparisons, config.split if config else SplitConfig(), job.config.seed)
    allowed = ("train",) if config else ("train", "validation", "calibration", "test")
    found = {}
    for item in ids:
        share = tallies[item].human_p_a if item in tallies else None
        if share is not None and placed[item].split in allowed:
            unit = placed[item].unit
            fits = uniform_hash("cascade", unit, job.config.seed) < cascade.fit_share
            found[item] = Labelled(unit, share, fits)
    if len({each.fits for each in found.values()}) < 2:
        raise DataError(
            f"{len(found)} comparisons with human labels are too few to fix thresholds on",
            where="cascade",
            expected="a few hundred" + (" in the split train" if config else ""),
            fix="collect labels with rewardkit label, or import them",
        )
    return found, frozenset(ids) - found.keys()


def _decide(ladder: Ladder, labelled: Mapping[str, Labelled], config: CascadeConfig, seed: int) -> Decided:
    fitted = [item for item, known in labelled.items() if known.fits]
    tested = [item for item, known in labelled.items() if not known.fits]
    models, stages = [], []
    for number, judge in enumerate(ladder.judges, start=1):
        model = fit_opinions(ladder.features(fitted, number), [labelled[item].p_human for item in fitted])
        p_a = model.p_a(ladder.features(tested, number))
        human = np.array([labelled[item].p_human for item in tested])
        stages.append(
            StageLabels(
                judge.name,
                confidence=np.maximum(p_a, 1 - p_a),
                agreement=np.where(p_a > 0.5, human, 1 - human),
                cost=judge.price,
                uses_earlier=True,
                # What an earlier judge is less sure of than was promised, a later one may know.
                floor=config.agreement if number < len(ladder.judges) else -math.inf,
            )
        )
        models.append(model)
    units = [labelled[item].unit for item in tested]
    cascade = choose_together(
        stages,
        alpha=1 - config.agreement,
        delta=config.delta,
        units=units,
        people_cost=config.people_price,
        seed=seed,
    )
    return Decided(cascade, tuple(models))


def _answer(
    ladder: Ladder, decided: Decided, others: AbstractSet[str], folder: runs.StageFolder
) -> dict[str, tuple[int, float]]:
    """Ask judge after judge about what is left; returns who answered, and its probability of A, by comparison."""
    answered: dict[str, tuple[int, float]] = {}
    left = set(others)
    for number, stage in enumerate(decided.cascade.stages):
        if not left or not stage.asked:
            continue
        ladder.ask(number, frozenset(left | ladder.logits[number].keys()), folder)
        items = sorted(left)
        for item, p_a in zip(items, decided.models[number].p_a(ladder.features(items, number + 1)), strict=True):
            if stage.answers(None if math.isnan(p_a) else max(p_a, 1 - p_a)):
                answered[item] = (number, float(p_a))
        left -= answered.keys()
    return answered


def _keep(
    job: Job,
    ladder: Ladder,
    decided: Decided,
    answered: Mapping[str, tuple[int, float]],
    others: AbstractSet[str],
) -> Summary:
    annotator = _annotator(job, ladder, decided)
    with Store.open(job.config.database, create=False) as store:
        store.add([annotator])
        store.add(_label(annotator, item, ladder, answered.get(item)) for item in sorted(others))
    counts = {f"answered by {judge.name}": 0 for judge in ladder.judges}
    for number, _ in answered.values():
        counts[f"answered by {ladder.judges[number].name}"] += 1
    return {**counts, "left to people": len(others) - len(answered)}


def _annotator(job: Job, ladder: Ladder, decided: Decided) -> Annotator:
    stages = [
        {"judge": who, "threshold": stage.threshold, "weights": [float(each) for each in model.weights]}
        for who, stage, model in zip(ladder.annotators, decided.cascade.stages, decided.models, strict=True)
    ]
    config = given(job.config.cascade)
    settings = {"stages": stages, "agreement": config.agreement, "delta": config.delta}
    return Annotator.of("judge", f"cascade/{job.config.name}", protocol=PROTOCOL, settings=settings)


def _label(annotator: Annotator, item: str, ladder: Ladder, answer: tuple[int, float] | None) -> Label:
    if answer is None:
        return Label.of(item, annotator.id, status="abstained", reason=ABSTAINED)
    number, p_a = answer
    choice = "a" if p_a > 0.5 else "b"
    return Label.of(item, annotator.id, choice=choice, p_a=p_a, metadata={"answered_by": ladder.judges[number].name})


def _told(cascade: Cascade) -> dict[str, Any]:
    stages = {
        stage.name: {
            "threshold": stage.threshold,
            "share answered": stage.share.to_json(),
            "agreement": stage.agreement.to_json() if stage.agreement else None,
            "asked": stage.asked,
        }
        for stage in cascade.stages
    }
    return {
        "promised agreement": 1 - cascade.alpha,
        "with probability": 1 - cascade.delta,
        "share answered": cascade.answered.to_json(),
        "guaranteed agreement, people included": cascade.guaranteed_agreement,
        "price of a comparison": cascade.cost.to_json(),
        "human labels that fixed it": cascade.n,
        "why": cascade.stages[0].note,
        "judges": stages,
    }


def _inputs(job: Job) -> dict[str, str]:
    with Store.open(job.config.database, create=False) as store:
        found = {"store": store.digest("prompts", "responses", "comparisons"), "people": _people(store)}
    for judge in given(job.config.cascade).judges:
        inner = Job(job.config.model_copy(update={"judge": judge}))
        found |= {f"{judge.name}: {name}": value for name, value in JUDGE.inputs(inner).items()}
    return found


def _people(store: Store) -> str:
    """Return a hash of what people said: what this stage adds must not make it stale."""
    people = {who.id for who in store.annotators().values() if who.kind == "human"}
    digest = hashlib.sha256()
    for label in store.labels(superseded=True):
        if label.annotator_id in people:
            digest.update(label.id.encode())
    return digest.hexdigest()


def _size(job: Job) -> str:
    config = given(job.config.cascade)
    with Store.open(job.config.database, create=False) as store:
        counts = store.counts()
    names = ", ".join(judge.name for judge in config.judges)
    return f"{counts.get('comparisons', 0)} comparisons, first {names} on what people labelled"


CASCADE = Stage(
    "cascade",
    "cascade",
    tuple(sorted({*JUDGE.rooms, "aggregation", "calibration", "jobs/cascading"})),
    _inputs,
    _work,
    _size,
    fills_store=True,
)
