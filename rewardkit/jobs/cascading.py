"""The stage `cascade`: cheap judges answer where human labels show that they may, dearer ones and people the rest.

Every judge first labels what people have labelled. On a part of it each judge's confidence is fitted, on the other
part one threshold is fixed so that what the cascade answers agrees with people as often as was asked for. Then each
judge labels only what the cheaper ones passed on. Their labels stand in databases of their own in the stage's folder;
into the store comes one label of the cascade for each comparison, and where no judge is sure enough it abstains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rewardkit import runs
from rewardkit.aggregation.splits import place
from rewardkit.aggregation.votes import count_votes
from rewardkit.calibration.cascades import Cascade, StageLabels, choose_together
from rewardkit.calibration.opinions import OpinionModel, fit_opinions
from rewardkit.calibration.trials import uniform_hash
from rewardkit.cascade_config import LABELLED, LEFT, CascadeConfig
from rewardkit.config import SplitConfig
from rewardkit.errors import DataError
from rewardkit.jobs.labels import JUDGE
from rewardkit.jobs.ladder import Ladder
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.judge.notes import load_notes
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, content_id

FILE = "cascade.json"
PROTOCOL = "cascade.v1"
Answers = dict[str, tuple[int, float]]
"""By comparison: number of the judge that answers, and its probability of A."""


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
class Divided:
    """All comparisons, by what they are good for; ids.

    Attributes:
        labelled: Those on which thresholds may rest.
        others: The rest.
        voted: All that people labelled, those that a model is calibrated or tested on too.
    """

    labelled: Mapping[str, Labelled]
    others: frozenset[str]
    voted: frozenset[str]

    @property
    def hash(self) -> str:
        """Hash of what thresholds are fixed on."""
        return content_id("cascade", *(f"{item} {vars(known)}" for item, known in sorted(self.labelled.items())))


@dataclass(frozen=True)
class Decided:
    """A cascade whose thresholds are fixed.

    Attributes:
        cascade: The thresholds, and what they promise.
        models: What each judge's verdict, beside those of the cheaper ones, is worth.
    """

    cascade: Cascade
    models: tuple[OpinionModel, ...]


def _work(job: Job, folder: runs.StageFolder) -> Summary:
    divided = _divided(job)
    ladder = Ladder(job, folder.path)
    for number in range(len(ladder.judges)):
        ladder.ask(number, divided.labelled.keys(), folder)
    decided = _decide(ladder, divided.labelled, given(job.config.cascade), job.config.seed)
    runs.write_json(folder.path / FILE, _told(decided.cascade))
    answered = _answer(ladder, decided, divided, folder)
    return {**_told(decided.cascade), **_keep(job, ladder, decided, divided=divided, answered=answered)}


def _divided(job: Job) -> Divided:
    """Divide the comparisons.

    Labels that a reward model is calibrated or tested on fix no threshold: the cascade's labels are what it is trained
    on. Notes were written with an eye to some comparisons: those fix no threshold either, and confidences are fitted
    on them.
    """
    config, cascade = job.config.aggregate, given(job.config.cascade)
    with Store.open(job.config.database, create=False) as store:
        comparisons = list(store.comparisons())
        ids = [texts.comparison.id for texts in comparisons]
        tallies = count_votes(ids, store.labels(superseded=True), store.annotators().values()).tallies
    placed = place(comparisons, config.split if config else SplitConfig(), job.config.seed)
    allowed = ("train",) if config else ("train", "validation", "calibration", "test")
    told = {placed[item].unit for item in _noted(cascade) if item in placed}
    votes = {item: share for item in ids if item in tallies and (share := tallies[item].human_p_a) is not None}
    found = {}
    for item, share in votes.items():
        if placed[item].split in allowed:
            unit = placed[item].unit
            fits = unit in told or uniform_hash("cascade", unit, job.config.seed) < cascade.fit_share
            found[item] = Labelled(unit, share, fits)
    if len({each.fits for each in found.values()}) < 2:
        raise DataError(
            f"{len(found)} comparisons with human labels are too few to fix thresholds on",
            where="cascade",
            expected="a few hundred" + (" in the split train" if config else ""),
            fix="collect labels with rewardkit label, or import them",
        )
    return Divided(found, frozenset(ids) - found.keys(), frozenset(votes))


def _noted(config: CascadeConfig) -> set[str]:
    """Return the comparisons from which notes for the judges were distilled."""
    files = {judge.notes for judge in config.judges if judge.notes}
    return {item for file in files for note in load_notes(Path(file)).notes for item in note.comparisons}


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


def _answer(ladder: Ladder, decided: Decided, divided: Divided, folder: runs.StageFolder) -> Answers:
    """Ask judge after judge about what is left."""
    answered: Answers = {}
    # What thresholds were fixed on has all judges' labels, and confidences that were not fitted on it.
    fixed_on = {item for item, known in divided.labelled.items() if not known.fits}
    left = set(divided.others | fixed_on)
    for number, stage in enumerate(decided.cascade.stages):
        if not left or not stage.asked:
            continue
        ladder.ask(number, divided.labelled.keys() | left, folder)
        items = sorted(left)
        for item, p_a in zip(items, decided.models[number].p_a(ladder.features(items, number + 1)), strict=True):
            if stage.answers(None if math.isnan(p_a) else max(p_a, 1 - p_a)):
                answered[item] = (number, float(p_a))
        left -= answered.keys()
    return answered


def _keep(job: Job, ladder: Ladder, decided: Decided, *, divided: Divided, answered: Answers) -> Summary:
    """Store what the cascade says of every comparison, in place of what it said before."""
    annotator = _annotator(job, ladder, decided)
    names = [judge.name for judge in ladder.judges]
    with Store.open(job.config.database, create=False) as store:
        before = _before(store, annotator.name)
        store.add([annotator])
        labels = (
            _label(annotator, item, _said(names, answered.get(item), voted=item in divided.voted), before.get(item))
            for item in sorted(divided.others | divided.labelled.keys())
        )
        store.add(label for label in labels if label is not None)
    told = Counter(names[number] for item, (number, _) in answered.items() if item in divided.others)
    left = divided.others - divided.voted - answered.keys()
    return {
        "comparisons": len(divided.others | divided.voted),
        "labelled by people already": len(divided.voted - (divided.others & answered.keys())),
        **{f"answered by {name}": told[name] for name in names},
        "left to people": len(left),
    }


def _annotator(job: Job, ladder: Ladder, decided: Decided) -> Annotator:
    stages = [
        {"judge": who, "threshold": stage.threshold, "weights": [float(each) for each in model.weights]}
        for who, stage, model in zip(ladder.annotators, decided.cascade.stages, decided.models, strict=True)
    ]
    config = given(job.config.cascade)
    settings = {"stages": stages, "agreement": config.agreement, "delta": config.delta}
    return Annotator.of("judge", f"cascade/{job.config.name}", protocol=PROTOCOL, settings=settings)


def _before(store: Store, name: str) -> dict[str, Label]:
    """Return what the cascade of a name says now, whatever its settings were, by comparison."""
    own = {who.id for who in store.annotators().values() if who.protocol == PROTOCOL and who.name == name}
    return {label.comparison_id: label for label in store.labels() if label.annotator_id in own}


def _label(annotator: Annotator, item: str, said: Mapping[str, Any], earlier: Label | None) -> Label | None:
    """Return a label, in place of an earlier one; None where that says the same."""
    fields = dict(said)
    if earlier is not None:
        same = Label.of(item, annotator.id, supersedes=earlier.supersedes, **fields)
        if same.id == earlier.id:
            return None
        fields["supersedes"] = earlier.id
    return Label.of(item, annotator.id, **fields)


def _said(names: Sequence[str], answer: tuple[int, float] | None, *, voted: bool) -> dict[str, Any]:
    """Return the fields of a label: an answer, or an abstention that leaves the comparison to people."""
    if answer is None:
        return {"status": "abstained", "reason": LABELLED if voted else LEFT}
    number, p_a = answer
    choice = "tie" if p_a == 0.5 else "a" if p_a > 0.5 else "b"
    return {"choice": choice, "p_a": p_a, "metadata": {"answered_by": names[number]}}


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
        found = {"store": store.digest("prompts", "responses", "comparisons")}
    # Not all labels: what this stage adds must not make it stale.
    found["people"] = _divided(job).hash
    for judge in given(job.config.cascade).judges:
        inner = Job(job.config.model_copy(update={"judge": judge}))
        found |= {f"{judge.name}: {name}": value for name, value in JUDGE.inputs(inner).items()}
    return found


def _size(job: Job) -> str:
    config = given(job.config.cascade)
    with Store.open(job.config.database, create=False) as store:
        counts = store.counts()
    names = ", ".join(judge.name for judge in config.judges)
    return f"{counts.get('comparisons', 0)} comparisons, first {names} on what people labelled"


CASCADE = Stage(
    "cascade",
    "cascade",
    tuple(sorted({*JUDGE.rooms, "aggregation", "calibration", "jobs/cascading", "jobs/ladder"})),
    _inputs,
    _work,
    _size,
    fills_store=True,
)
