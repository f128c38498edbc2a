"""The human scale: how reliable one human vote is, and what one judge logit is worth in human votes.

Judges are never aggregated among themselves: their consensus is not the truth. A single weight,
fitted against human votes on the train split alone, says how much they count, and may say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit

from rewardkit.aggregation.splits import Placement
from rewardkit.aggregation.votes import Tally, Vote

Array = npt.NDArray[np.float64]

# The config's reliability weighs as much as this many observed pairs of votes.
PRIOR_PAIRS = 30
# Perfect agreement of a few humans must not make a vote infinitely strong.
MOST_RELIABLE = 0.99


@dataclass(frozen=True)
class Case:
    """One comparison's labels, and where it stands."""

    tally: Tally
    placement: Placement


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval, clustered by unit; None at both ends with fewer than two units."""

    value: float
    low: float | None
    high: float | None
    n: int
    n_units: int


@dataclass(frozen=True)
class Reliability:
    """Probability that one human vote is right.

    Attributes:
        value: The probability, after shrinking to the configured one.
        agreement: Share of overlapping vote pairs that agree; None without overlap.
        pairs: How many pairs there are.
    """

    value: float
    agreement: float | None
    pairs: int

    @property
    def logit(self) -> float:
        """What one vote adds to the log odds."""
        return math.log(self.value / (1 - self.value))


@dataclass(frozen=True)
class JudgeWeight:
    """What one judge logit is worth on the human scale.

    Attributes:
        value: The weight that is used, ≥ 0.
        estimate: The unconstrained estimate (negative where the judges contradict the humans) with
            its interval; None where nothing could be fitted.
        note: What to know about it, in one sentence; empty where all is well.
    """

    value: float
    estimate: Interval | None
    note: str = ""


def human_reliability(cases: Sequence[Case], prior: float) -> Reliability:
    """Estimate r from how often two humans agree on the same comparison, on the train split.

    Two votes that are right with probability r independently agree with probability
    A = r² + (1 − r)², so r = (1 + √(2A − 1)) / 2. A is shrunk to what the prior implies, by
    PRIOR_PAIRS pairs. Ties are left out: they take no side. Votes on one comparison whose right
    answer is itself disputed count as unreliable, which is what the aggregate needs.

    Args:
        cases: Comparisons of any split; only train is used.
        prior: Reliability without evidence, in (0.5, 1).
    """
    agree = pairs = 0
    for case in _train(cases):
        for_a = sum(vote.value > 0.5 for vote in case.tally.votes)
        for_b = sum(vote.value < 0.5 for vote in case.tally.votes)
        agree += math.comb(for_a, 2) + math.comb(for_b, 2)
        pairs += math.comb(for_a + for_b, 2)
    expected = prior**2 + (1 - prior) ** 2
    shrunk = (agree + PRIOR_PAIRS * expected) / (pairs + PRIOR_PAIRS)
    value = 0.5 * (1 + math.sqrt(max(0.0, 2 * shrunk - 1)))
    return Reliability(min(value, MOST_RELIABLE), agree / pairs if pairs else None, pairs)


def judge_weight(cases: Sequence[Case]) -> JudgeWeight:
    """Fit t in P(a human votes A) = sigmoid(t · judge logit), on the train split, and keep t ≥ 0.

    There is no intercept, so no side is favoured. One pseudo-vote for a tie, at the root mean square
    of the judge logits, keeps t finite where the judges are never wrong; it fades with real votes.

    Args:
        cases: Comparisons of any split; only those of train that have votes and judges are used.
    """
    both = [case for case in _train(cases) if case.tally.votes and case.tally.judges]
    if not both:
        return JudgeWeight(0.0, None, "no train comparison has human and judge labels: the judges are not used")
    x = np.array([case.tally.judge_logit for case in both], dtype=np.float64)
    y = np.array([case.tally.human_p_a for case in both], dtype=np.float64)
    votes = np.array([len(case.tally.votes) for case in both], dtype=np.float64)
    spread = math.sqrt(float(np.square(x).mean()))
    if spread == 0:
        return JudgeWeight(0.0, None, "the judges prefer nothing: they are not used")
    gradient = _Gradient(np.append(x, spread), np.append(y, 0.5), np.append(votes, 1.0))
    t = _root(gradient.total, 1 / spread)
    influence = gradient.terms(t)[:-1] / gradient.slope(t)
    estimate = interval(t, influence, [case.placement.unit for case in both])
    return JudgeWeight(max(t, 0.0), estimate, _note(estimate))


def mean_interval(values: Sequence[float], units: Sequence[str]) -> Interval | None:
    """Return the mean with its interval clustered by unit, or None without values."""
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    return interval(mean, (np.asarray(values) - mean) / len(values), units)


def vote_logit(vote: Vote, reliability: Reliability, strength_scale: float) -> float:
    """Return what one vote adds to the log odds of A; a tie adds nothing.

    Args:
        vote: The vote.
        reliability: Of one vote, for votes without a strength.
        strength_scale: Logits per unit of strength; 0 ignores strength.
    """
    weight = reliability.logit
    if strength_scale > 0 and vote.strength is not None:
        # Bounded, so that two strong opposite votes of any size still cancel.
        weight = min(strength_scale * vote.strength, 20.0)
    return (2 * vote.value - 1) * weight


@dataclass(frozen=True)
class _Gradient:
    """Derivative of the log loss of P = sigmoid(t·x) with respect to t."""

    x: Array
    y: Array
    weight: Array

    def terms(self, t: float) -> Array:
        terms: Array = self.weight * (expit(t * self.x) - self.y) * self.x
        return terms

    def total(self, t: float) -> float:
        return math.fsum(self.terms(t))

    def slope(self, t: float) -> float:
        p = expit(t * self.x)
        return math.fsum(self.weight * p * (1 - p) * self.x**2)


def _root(function: Callable[[float], float], scale: float) -> float:
    """Return the root of an increasing function that changes sign, whatever its scale."""
    if function(0.0) == 0:
        return 0.0
    edge = scale if function(0.0) < 0 else -scale
    while function(edge) * function(0.0) > 0:
        edge *= 2
    return float(brentq(function, min(0.0, edge), max(0.0, edge), xtol=1e-14 * scale))


def interval(value: float, influence: Array, units: Sequence[str]) -> Interval:
    """Return an estimate with its interval clustered by unit.

    Args:
        value: The estimate.
        influence: What each observation contributes to its error, (n,).
        units: The unit of each observation, (n,).
    """
    names, index = np.unique(np.asarray(units), return_inverse=True)
    count = len(names)
    if count < 2:
        return Interval(value, None, None, len(influence), count)
    sums = np.bincount(index, weights=influence)
    error = math.sqrt(count / (count - 1) * float(np.square(sums).sum()))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return Interval(value, value - half, value + half, len(influence), count)


def _note(estimate: Interval) -> str:
    if estimate.value <= 0:
        return "the judges do not agree with the humans beyond chance: they are not used"
    if estimate.low is None or estimate.low <= 0:
        return "the interval of the judges' weight includes 0: more human labels would tell whether they help"
    return ""


def _train(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.placement.split == "train"]
