"""How far annotators agree: Krippendorff's alpha with an interval, and the share of equal pairs.

Alpha compares the disagreement within units with the disagreement that answers drawn from all units together
would show: 1 is perfect, 0 is chance, and below 0 they disagree on purpose. It takes any number of annotators, units
that differ in their number of answers, and missing ones; who gave an answer does not matter.

References:
    Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; Krippendorff (2018), Content Analysis, ch. 12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rewardkit.errors import DataError
from rewardkit.types import Choice

Level = Literal["nominal", "ordinal", "interval"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
AlphaOf = Callable[[Floats], Floats]

RESAMPLES = 1_000
# Numbers of one round of draws: bounds the memory, not the result.
DRAWN_AT_ONCE = 2_000_000
SIGN = {"a": 1.0, "b": -1.0, "tie": 0.0, "both_bad": 0.0}


@dataclass(frozen=True)
class Agreement:
    """How far the annotators of some units agree.

    Attributes:
        level: How answers differ: nominal (or not at all), ordinal (by what lies between), interval (by distance).
        alpha: Krippendorff's alpha; None where it is not defined (no two answers to one unit, or all the same).
        interval: 95 % percentile interval over resampled clusters; None where alpha or half the resamples have none.
        percent: Share of equal answers among all pairs of answers to the same unit.
        units: Units with two answers or more; only they count.
        answers: Answers to them.
        annotators: Who gave them.
        clusters: What was resampled: prompts, or the units themselves.
        single: Units with one answer, which tell nothing of agreement.
    """

    level: Level
    alpha: float | None
    interval: tuple[float, float] | None
    percent: float | None
    units: int
    answers: int
    annotators: int
    clusters: int
    single: int


def graded(choice: Choice, strength: float | None) -> float:
    """Return a preference on the scale from −3 (B is much better) to 3 (A is); 0 where neither is preferred."""
    return SIGN[choice] * (1.0 if strength is None else strength)


def agreement(  # noqa: PLR0913 - keyword-only past the third
    units: Sequence[str],
    annotators: Sequence[str],
    values: Sequence[str | float],
    *,
    level: Level,
    clusters: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Measure how far annotators agree.

    Args:
        units: What each answer is about, (answers,).
        annotators: Who gave it, (answers,).
        values: What it says, (answers,): words for the nominal level, numbers for the others.
        level: How answers differ.
        clusters: What each answer is resampled with, (answers,), such as its prompt; its unit if absent.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: The lengths differ, an annotator answers a unit twice, a unit is in two clusters, or a value is
            no number where numbers are needed.

    Example:
        >>> agreement(["x", "x", "y", "y"], ["kim", "lee"] * 2, ["a", "a", "b", "b"], level="nominal").alpha
        1.0
    """
    answers = _answers(units, annotators, values, clusters or units, level)
    sums_of, alpha_of = _LEVELS[level]
    sums = sums_of(answers)
    alpha = float(alpha_of(sums.sum(axis=0)))
    resampled = _resampled(answers.by_cluster(sums), alpha_of, resamples, np.random.default_rng(seed))
    defined = not np.isnan(alpha)
    return Agreement(
        level=level,
        alpha=alpha if defined else None,
        interval=_percentiles(resampled) if defined else None,
        percent=answers.percent,
        units=answers.units,
        answers=len(answers.unit),
        annotators=answers.annotators,
        clusters=answers.clusters,
        single=answers.single,
    )


@dataclass(frozen=True)
class _Answers:
    """Answers to units that have two or more, everything by its place.

    Attributes:
        unit: Of each answer, (answers,).
        value: Of each answer, (answers,).
        numbers: The values, sorted, (values,); any numbers where they are words.
        cluster: Of each unit, (units,).
        annotators: How many gave these answers.
        single: Units that were left out.
    """

    unit: Ints
    value: Ints
    numbers: Floats
    cluster: Ints
    annotators: int
    single: int

    @property
    def units(self) -> int:
        return len(self.cluster)

    @property
    def clusters(self) -> int:
        return int(self.cluster.max()) + 1 if self.units else 0

    @property
    def per_unit(self) -> Floats:
        """Answers to each unit, (units,)."""
        return np.bincount(self.unit, minlength=self.units).astype(np.float64)

    @property
    def counts(self) -> Floats:
        """How often each value was given to each unit, (units, values)."""
        cells = np.bincount(self.unit * len(self.numbers) + self.value, minlength=self.units * len(self.numbers))
        return cells.reshape(self.units, len(self.numbers)).astype(np.float64)

    @property
    def percent(self) -> float | None:
        """Share of equal pairs."""
        same = np.unique(np.stack((self.unit, self.value)), axis=1, return_counts=True)[1]
        pairs = (self.per_unit * (self.per_unit - 1)).sum()
        return float((same * (same - 1)).sum() / pairs) if pairs else None

    def by_cluster(self, sums: Floats) -> Floats:
        """Add up what was measured of each unit, (units, sums) to (clusters, sums)."""
        found = np.zeros((self.clusters, sums.shape[1]))
        np.add.at(found, self.cluster, sums)
        return found


def _answers(
    units: Sequence[str],
    annotators: Sequence[str],
    values: Sequence[str | float],
    clusters: Sequence[str],
    level: Level,
) -> _Answers:
    if not len(units) == len(annotators) == len(values) == len(clusters):
        raise DataError("the lists differ in length", where="agreement", expected="one entry for each answer")
    unit, who, cluster = (_places(words) for words in (units, annotators, clusters))
    if len(np.unique(unit * (who.max(initial=0) + 1) + who)) < len(units):
        raise DataError("an annotator answers the same unit twice", where="agreement", fix="leave repeats out")
    given = np.bincount(unit)
    kept = given[unit] > 1
    names, value = np.unique(_array(values, level)[kept], return_inverse=True)
    places = np.unique(unit[kept], return_inverse=True)[1].astype(np.int64)
    numbers = names.astype(np.float64)
    single, people = int((given == 1).sum()), len(np.unique(who[kept]))
    return _Answers(places, value.astype(np.int64), numbers, _of_units(places, cluster[kept]), people, single)


def _places(words: Sequence[str]) -> Ints:
    known = {word: place for place, word in enumerate(dict.fromkeys(words))}
    return np.fromiter(map(known.__getitem__, words), dtype=np.int64, count=len(words))


def _array(values: Sequence[str | float], level: Level) -> npt.NDArray[Any]:
    if level == "nominal":
        # As places: thousands of words would be sorted for nothing.
        return _places([str(value) for value in values])
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"a value is no number ({error})", where="agreement", expected="numbers") from error
    if not np.isfinite(numbers).all():
        raise DataError("a value is not finite", where="agreement", fix="leave missing answers out")
    return numbers


def _of_units(unit: Ints, cluster: Ints) -> Ints:
    """Return the cluster of each unit, numbered from 0."""
    found = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
    found[unit] = cluster
    if (found[unit] != cluster).any():
        raise DataError("a unit is in two clusters", expected="one cluster for all answers to a unit")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


# Alpha is 1 − (n − 1) · (differences within units, each unit's divided by its m − 1) / (differences among all n
# answers). What it is made of is a sum over units, so that a resample is a sum too: that of its clusters.


def _nominal_sums(answers: _Answers) -> Floats:
    """Return each unit's counts and its differences, (units, values + 1)."""
    counts, per_unit = answers.counts, answers.per_unit
    within = (np.square(per_unit) - np.square(counts).sum(axis=1)) / (per_unit - 1)
    return np.column_stack((counts, within))


def _nominal_alpha(sums: Floats) -> Floats:
    counts, within = sums[..., :-1], sums[..., -1]
    total = counts.sum(axis=-1)
    return _one_minus(total, within, np.square(total) - np.square(counts).sum(axis=-1))


def _interval_sums(answers: _Answers) -> Floats:
    """Return each unit's number of answers, their sum, that of their squares, and its differences, (units, 4)."""
    # Around their middle: sums of squares of large numbers would lose the differences.
    centred = answers.numbers - answers.numbers.mean() if len(answers.numbers) else answers.numbers
    each, per_unit = centred[answers.value], answers.per_unit
    first, second = (np.bincount(answers.unit, power, minlength=answers.units) for power in (each, np.square(each)))
    return np.column_stack((per_unit, first, second, 2 * (per_unit * second - np.square(first)) / (per_unit - 1)))


def _interval_alpha(sums: Floats) -> Floats:
    total, first, second, within = np.moveaxis(sums, -1, 0)
    return _one_minus(total, within, 2 * (total * second - np.square(first)))


def _ordinal_sums(answers: _Answers) -> Floats:
    """Return each unit's coincidences, (units, values²): how far values are apart depends on all answers."""
    counts, per_unit = answers.counts, answers.per_unit
    pairs = counts[:, :, None] * counts[:, None, :]
    same = np.arange(counts.shape[1])
    pairs[:, same, same] -= counts
    return (pairs / (per_unit - 1)[:, None, None]).reshape(answers.units, counts.shape[1] ** 2)


def _ordinal_alpha(sums: Floats) -> Floats:
    size = math.isqrt(sums.shape[-1])
    coincidences = sums.reshape(*sums.shape[:-1], size, size)
    counts = coincidences.sum(axis=-1)
    # What lies between two values, with half of each, is the difference of their mean ranks.
    rank = np.cumsum(counts, axis=-1) - counts / 2
    apart = np.square(rank[..., :, None] - rank[..., None, :])
    among = counts[..., :, None] * counts[..., None, :] * apart
    return _one_minus(counts.sum(axis=-1), (coincidences * apart).sum(axis=(-2, -1)), among.sum(axis=(-2, -1)))


def _one_minus(total: Floats, within: Floats, among: Floats) -> Floats:
    """Return alpha; NaN where all answers are the same (what is left of rounding is no difference)."""
    differ = among > 1e-12 * np.square(total)
    return np.where(differ, 1.0 - (total - 1.0) * within / np.where(differ, among, 1.0), np.nan)


_LEVELS: dict[Level, tuple[Callable[[_Answers], Floats], AlphaOf]] = {
    "nominal": (_nominal_sums, _nominal_alpha),
    "ordinal": (_ordinal_sums, _ordinal_alpha),
    "interval": (_interval_sums, _interval_alpha),
}


def _resampled(sums: Floats, alpha_of: Callable[[Floats], Floats], resamples: int, rng: np.random.Generator) -> Floats:
    """Return alpha of resampled clusters, (resamples,); nothing of fewer than two clusters."""
    size = len(sums)
    if size < 2:
        return np.empty(0)
    at_once = max(1, DRAWN_AT_ONCE // size)
    found = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        found.append(alpha_of(times @ sums))
    return np.concatenate(found) if found else np.empty(0)


def _percentiles(alphas: Floats) -> tuple[float, float] | None:
    defined = alphas[~np.isnan(alphas)]
    if not len(defined) or 2 * len(defined) < len(alphas):
        return None
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)
