"""Cheap judges first: each stage answers what clears its threshold, the rest goes on, and at the end to people.

The thresholds are fixed on human labels (`selective.py`), in one of two ways. Where each stage has to keep its own
promise (`choose_stages`), delta is shared among them, and each is tested on units of its own, those that the earlier
stages passed on. They cannot share the units: where a stage stops depends on whether it was right on the items just
below its threshold, and the next stage would be tested on those very items, which are no fair draw then.

Where it is the cascade that has to keep the promise (`choose_together`), one threshold on a common scale is lowered for
all stages at once, and the answers of the whole cascade are tested, with the whole delta on all units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.estimates import Array, Estimate, clustered_mean
from rewardkit.calibration.selective import (
    check_promise,
    choose_threshold,
    describe,
    estimate_agreement,
    last_passed,
    thresholds_to_test,
)
from rewardkit.calibration.trials import WHERE, checked_items, one_per_unit, one_person, uniform_hash
from rewardkit.errors import DataError

PEOPLE = -1


@dataclass(frozen=True)
class StageLabels:
    """What one judge said about the labelled items, and what it costs to ask.

    Attributes:
        name: Of the stage.
        confidence: Of the judge, (n,), higher is surer; NaN where it gave none.
        agreement: Share of people who agree with it, (n,), from 0 to 1.
        cost: Of asking it about one item, in any currency that all stages share.
        uses_earlier: Its confidence rests on what earlier stages said: they are asked even if they answer nothing.
        floor: For `choose_together`: it answers nothing below this confidence, fixed before the labels were seen. For
            an earlier stage 1 − alpha is a good one: what it is less sure of, a later one may know.
    """

    name: str
    confidence: npt.ArrayLike
    agreement: npt.ArrayLike
    cost: float = 0.0
    uses_earlier: bool = False
    floor: float = -np.inf


@dataclass(frozen=True)
class Stage:
    """One judge of a cascade.

    Attributes:
        name: Of the stage.
        threshold: It answers at this confidence and above; None: it answers nothing.
        asked: Whether it has to be asked at all.
        cost: Of asking it about one item.
        share: Share of all units that it answers.
        agreement: Agreement with people among those; None where there are none.
        note: What its test found.
    """

    name: str
    threshold: float | None
    asked: bool
    cost: float
    share: Estimate
    agreement: Estimate | None
    note: str

    def answers(self, confidence: float | None) -> bool:
        """Tell whether it answers at this confidence; never where there is none."""
        return self.threshold is not None and confidence is not None and confidence >= self.threshold


@dataclass(frozen=True)
class Cascade:
    """Judges from cheap to strong, each with its threshold; people get what none answers.

    Attributes:
        stages: In the order in which they are asked.
        answered: Share of the units that some stage answers.
        agreement: Agreement with people among those; None where there are none. It was looked at when the thresholds
            were chosen: what is promised is 1 − alpha.
        guaranteed_agreement: Over all items, people counted as agreeing: 1 − alpha · upper end of the share answered.
        cost: Expected cost of one item.
        alpha: Most disagreement among what is answered.
        delta: Most probability of a broken promise, over all stages.
        n: Labelled units, one comparison each.
    """

    stages: tuple[Stage, ...]
    answered: Estimate
    agreement: Estimate | None
    guaranteed_agreement: float
    cost: Estimate
    alpha: float
    delta: float
    n: int

    def route(self, confidences: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the stage that answers each item, (m,), −1 for people, given confidences (m, stages), NaN: none.

        Raises:
            DataError: There are not as many confidences as stages.
        """
        sure = np.asarray(confidences, dtype=np.float64)
        if sure.ndim != 2 or sure.shape[1] != len(self.stages):
            raise DataError(f"confidences {sure.shape}", where=WHERE, expected=f"(items, {len(self.stages)})")
        return _route(sure, [stage.threshold for stage in self.stages])

    def cost_of(self, route: npt.NDArray[np.int64], people_cost: float = 0.0) -> Array:
        """Return what items cost, (m,), that went this way, (m,)."""
        return _costs(self.stages, route, people_cost)


def choose_stages(  # noqa: PLR0913 - keyword-only past the first
    stages: Sequence[StageLabels],
    *,
    alpha: float,
    delta: float,
    units: Sequence[str] | None = None,
    people_cost: float = 0.0,
    seed: int = 0,
) -> Cascade:
    """Choose each stage's threshold so that each keeps the promise: agreement ≥ 1 − alpha in what it answers.

    With probability 1 − delta or more all stages keep it (delta / stages each, union bound), and so does the cascade.
    The scales of the confidences may differ. The units are divided among the stages by hash: each is tested on fresh
    ones. That costs power; `choose_together` needs fewer labels.

    Args:
        stages: The judges from cheap to strong, on the same n items.
        alpha: Most disagreement among what is answered, between 0 and 1.
        delta: Most probability that some promise is broken, between 0 and 1.
        units: The unit of each item; one of each is drawn (see `choose_threshold`).
        people_cost: Of one item that goes to people.
        seed: Of the hashes.

    Raises:
        ConfigError: alpha or delta is not between 0 and 1.
        DataError: There is no stage or item, the stages differ in length, or a number is out of range.
    """
    sure, agreed, names = _drawn(stages, alpha, delta, units=units, seed=seed)
    part = np.array([int(uniform_hash("stage", name, seed) * len(stages)) for name in names])
    passed_on = np.ones(len(sure), dtype=bool)
    found: list[tuple[float | None, str]] = []
    for k in range(len(stages)):
        own = np.flatnonzero(passed_on & (part == k))
        threshold, note = None, "no labelled comparison was left to test it on"
        if len(own):
            fresh = [names[i] for i in own.tolist()]
            chosen = choose_threshold(
                sure[own, k], agreed[own, k], alpha=alpha, delta=delta / len(stages), units=fresh, seed=seed
            )
            threshold, note = chosen.threshold, chosen.note
        found.append((threshold, note))
        passed_on &= _route(sure[:, k : k + 1], [threshold]) == PEOPLE
    return _cascade(stages, found, (sure, agreed, names), alpha=alpha, delta=delta, people_cost=people_cost)


def choose_together(  # noqa: PLR0913 - keyword-only past the first
    stages: Sequence[StageLabels],
    *,
    alpha: float,
    delta: float,
    units: Sequence[str] | None = None,
    grid: npt.ArrayLike | None = None,
    people_cost: float = 0.0,
    seed: int = 0,
) -> Cascade:
    """Choose one threshold for all stages so that the cascade keeps the promise: agreement ≥ 1 − alpha in its answers.

    The first stage at or above the threshold answers. The confidences have to be on one scale, best as calibrated
    probabilities of being right, fitted on other labels: the promise holds for any, but a stage that overrates itself
    answers what a better one should have. A single stage may fall short of 1 − alpha where others exceed it.

    Args:
        stages: The judges from cheap to strong, on the same n items.
        alpha: Most disagreement among what is answered, between 0 and 1.
        delta: Most probability of a broken promise, between 0 and 1.
        units: The unit of each item; one of each is drawn (see `choose_threshold`).
        grid: Thresholds to test, fixed before the labels were seen; every confidence that is seen, if absent.
        people_cost: Of one item that goes to people.
        seed: Of the hashes.

    Raises:
        ConfigError: alpha or delta is not between 0 and 1, or the grid is not finite.
        DataError: There is no stage or item, the stages differ in length, or a number is out of range.

    References:
        Angelopoulos et al., Learn then test (2021), arXiv:2110.01052: a sequence of settings, whatever each sets.
    """
    sure, agreed, names = _drawn(stages, alpha, delta, units=units, seed=seed)
    tested = thresholds_to_test(sure.ravel(), grid)
    floors = np.array([stage.floor for stage in stages])
    counts, disagreed = np.zeros((2, len(tested)), dtype=np.int64)
    for i, threshold in enumerate(tested):
        at = _route(sure, np.maximum(threshold, floors))
        answered = at != PEOPLE
        counts[i] = answered.sum()
        disagreed[i] = (1 - agreed[answered, at[answered]]).sum()
    last = last_passed(counts, disagreed, alpha=alpha, delta=delta)
    note = f"all stages together: {describe(counts, disagreed, last, alpha=alpha, delta=delta)}"
    found = [(None if last is None else float(max(tested[last], stage.floor)), note) for stage in stages]
    return _cascade(stages, found, (sure, agreed, names), alpha=alpha, delta=delta, people_cost=people_cost)


def _drawn(
    stages: Sequence[StageLabels], alpha: float, delta: float, *, units: Sequence[str] | None, seed: int
) -> tuple[Array, Array, list[str]]:
    """Return confidence and agreement, (units, stages), and names: one item of each unit, one person for each item."""
    check_promise(alpha, delta)
    sizes = {(np.shape(stage.confidence), np.shape(stage.agreement)) for stage in stages}
    if len(sizes) != 1 or any(len(shape) != 1 for pair in sizes for shape in pair):
        raise DataError(
            f"the shapes {sorted(sizes)}", where=WHERE, expected="one stage or more, all on the same items: (n,)"
        )
    sure, agreed, names = checked_items(
        np.column_stack([stage.confidence for stage in stages]),
        np.column_stack([stage.agreement for stage in stages]),
        units,
    )
    kept = one_per_unit(np.column_stack([sure, agreed]), names, seed)
    names = [names[i] for i in kept.tolist()]
    return sure[kept], one_person(agreed[kept], names, seed), names


def _cascade(  # noqa: PLR0913 - keyword-only past the first three
    stages: Sequence[StageLabels],
    found: Sequence[tuple[float | None, str]],
    drawn: tuple[Array, Array, list[str]],
    *,
    alpha: float,
    delta: float,
    people_cost: float,
) -> Cascade:
    """Measure, on all labelled units, what the stages with these thresholds answer and cost."""
    sure, agreed, names = drawn
    thresholds = [threshold for threshold, _ in found]
    at = _route(sure, thresholds)
    built = tuple(
        Stage(
            name=stage.name,
            threshold=thresholds[k],
            asked=_is_asked(stages, thresholds, k),
            cost=stage.cost,
            share=clustered_mean(at == k, names, rate=True),
            agreement=estimate_agreement(agreed[:, k], at == k, names),
            note=found[k][1],
        )
        for k, stage in enumerate(stages)
    )
    answered = clustered_mean(at != PEOPLE, names, rate=True)
    right = agreed[np.arange(len(at)), at]
    return Cascade(
        stages=built,
        answered=answered,
        agreement=estimate_agreement(right, at != PEOPLE, names),
        guaranteed_agreement=1 - alpha * answered.high if any(stage.threshold is not None for stage in built) else 1.0,
        cost=clustered_mean(_costs(built, at, people_cost), names),
        alpha=alpha,
        delta=delta,
        n=len(names),
    )


def _route(sure: Array, thresholds: Sequence[float | None] | Array) -> npt.NDArray[np.int64]:
    """Return the first stage whose threshold each item clears, (m,); −1 where none does."""
    # Above every number; a confidence of NaN clears nothing.
    least = np.array([np.inf if threshold is None else threshold for threshold in thresholds])
    clears = sure >= least
    return np.where(clears.any(axis=1), clears.argmax(axis=1), PEOPLE)


def _costs(stages: Sequence[Stage], route: npt.NDArray[np.int64], people_cost: float) -> Array:
    """Return what each item costs, (m,), by the stage that answers it, (m,)."""
    spent = np.cumsum([stage.cost if stage.asked else 0.0 for stage in stages])
    costs: Array = np.where(route == PEOPLE, spent[-1] + people_cost, spent[route])
    return costs


def _is_asked(stages: Sequence[StageLabels], thresholds: Sequence[float | None], k: int) -> bool:
    """Tell whether a stage answers something itself, or a later one that does uses what it says."""
    later = range(k + 1, len(stages))
    return thresholds[k] is not None or any(thresholds[j] is not None and stages[j].uses_earlier for j in later)
