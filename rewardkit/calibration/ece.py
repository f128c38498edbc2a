"""Expected calibration error without its small-sample bias, and the band that honesty would show.

Plain ECE adds up |noise| over bins and is far above 0 for a perfectly calibrated model on a few
hundred comparisons. The squared error can be debiased exactly, so that is what is estimated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.estimates import Array
from rewardkit.errors import DataError

Index = npt.NDArray[np.intp]

MOST_BINS = 15
LEAST_IN_BIN = 25
DRAWS = 1000
NUMBERS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class CalibrationError:
    """Debiased L2 calibration error, beside what a perfectly calibrated model would show.

    Attributes:
        value: sqrt(max(0, squared)): root of the mean squared distance between confidence and
            frequency. It bounds the usual (L1) ECE from above.
        squared: The debiased squared error; it may be negative, and averages to 0 under calibration.
        band_low: 5 % quantile of `value` for a perfectly calibrated model on these comparisons.
        band_high: 95 % quantile of the same.
        bins: Bins of equal mass that were used.
        n: Comparisons.
    """

    value: float
    squared: float
    band_low: float
    band_high: float
    bins: int
    n: int

    def to_json(self) -> dict[str, float | int]:
        """Return plain JSON values."""
        return asdict(self)


def fold(p_a: Array, human_p_a: Array) -> tuple[Array, Array]:
    """Return each comparison seen from the response that the model prefers.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,).

    Returns:
        The confidence max(p_a, 1 − p_a) and the share of votes for the preferred response, (n,) each.
        At p_a = 0.5 neither is preferred, and the share is the mean of the two sides: 0.5.
    """
    # Rounded, so that the last bit lost in 1 − p_a moves no comparison across the edge of a bin.
    confidence: Array = np.maximum(p_a, 1 - p_a).round(12)
    share: Array = np.where(p_a > 0.5, human_p_a, 1 - human_p_a)
    share[confidence == 0.5] = 0.5
    return confidence, share


def equal_mass_bins(confidence: Array, bins: int | None = None) -> Index:
    """Return the bin of each comparison (n,), 0 … bins − 1; equal confidences share a bin.

    Args:
        confidence: Folded confidences (n,).
        bins: How many; about one for 25 comparisons and at most 15 if absent. Ties can leave fewer.
    """
    wanted = bins or max(1, min(MOST_BINS, len(confidence) // LEAST_IN_BIN))
    ordered = np.sort(confidence)
    edges = ordered[[len(ordered) * k // wanted for k in range(1, wanted)]]
    raw = np.searchsorted(np.unique(edges), confidence, side="right")
    return np.unique(raw, return_inverse=True)[1]


def debiased_ece(
    p_a: npt.ArrayLike,
    human_p_a: npt.ArrayLike,
    *,
    n_votes: npt.ArrayLike | None = None,
    bins: int | None = None,
    seed: int = 0,
) -> CalibrationError:
    """Return the debiased calibration error over equal-mass bins, with its null band.

    Per bin the squared mean residual (share of votes − confidence) less its sampling variance, s²/n.
    With equal confidences in a bin this is Kumar's ȳ(1 − ȳ)/(n − 1). Taking residuals instead of
    the outcomes deviates from the paper in two ways that matter here: the spread of confidences inside a bin
    is not mistaken for noise, and shares of several votes need no other formula. A bin of one
    comparison has no s²; the variance under calibration, c(1 − c), stands in.

    Comparisons are taken as independent. Where those of one unit move together the value is larger
    than it should be, never smaller.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,).
        n_votes: Votes behind each share (n,); 1 if absent. Used by the band alone.
        bins: Number of bins; see `equal_mass_bins`.
        seed: Of the band's simulation.

    Raises:
        DataError: No comparisons, lengths differ, or something is no probability.

    References:
        Kumar, Liang and Ma, Verified Uncertainty Calibration (NeurIPS 2019), the debiased estimator.
    """
    p, share, votes = _checked(p_a, human_p_a, n_votes)
    confidence, outcome = fold(p, share)
    # Sorted, so that the simulated band does not depend on the order of the rows.
    order = np.lexsort((outcome, votes, confidence))
    confidence, outcome, votes = confidence[order], outcome[order], votes[order]
    starts = np.unique(equal_mass_bins(confidence, bins), return_index=True)[1]
    squared = float(_debiased_square(outcome, confidence, starts))
    null = _null(confidence, votes, _vote_correlation(outcome, confidence, votes, starts), starts, seed)
    low, high = np.quantile(null, (0.05, 0.95))
    return CalibrationError(max(squared, 0.0) ** 0.5, squared, float(low), float(high), len(starts), len(p))


def _debiased_square(outcome: Array, confidence: Array, starts: Index) -> Array:
    """Return the debiased squared error of outcomes (…, n) on confidences (n,), both in order of the bins."""
    count = np.diff(np.append(starts, len(confidence)))
    residual = outcome - confidence
    mean = np.add.reduceat(residual, starts, axis=-1) / count
    around = np.add.reduceat(np.square(residual - np.repeat(mean, count, axis=-1)), starts, axis=-1)
    expected = np.add.reduceat(confidence * (1 - confidence), starts)
    variance = np.where(count > 1, around / np.maximum(count - 1, 1), expected) / count
    squared: Array = (count * (np.square(mean) - variance)).sum(axis=-1) / len(confidence)
    return squared


def _vote_correlation(outcome: Array, confidence: Array, votes: Array, starts: Index) -> float:
    """Return how much votes on one comparison agree beyond the model's confidence, in [0, 1].

    Humans who see the same two texts agree more than independent draws with probability c would, so
    a share of k votes scatters more than a binomial one: its variance is c(1 − c)(1/k + ρ(1 − 1/k)).
    Residuals about their bin's mean keep miscalibration out of ρ.
    """
    residual = outcome - confidence
    count = np.diff(np.append(starts, len(outcome)))
    centred = residual - np.repeat(np.add.reduceat(residual, starts) / count, count)
    freedom = 1 - len(starts) / len(outcome)
    noise = confidence * (1 - confidence)
    room = float((noise * (1 - 1 / votes)).sum())
    if room <= 0.0 or freedom <= 0.0:
        return 0.0
    excess = float(np.square(centred).sum()) / freedom - float((noise / votes).sum())
    return min(max(excess / room, 0.0), 1.0)


def _null(confidence: Array, votes: Array, correlation: float, starts: Index, seed: int) -> Array:
    """Return the statistic of DRAWS perfectly calibrated outcomes on these confidences."""
    rng = np.random.default_rng(seed)
    at_once = max(1, NUMBERS_AT_ONCE // len(confidence))
    drawn = []
    for done in range(0, DRAWS, at_once):
        level = np.broadcast_to(confidence, (min(at_once, DRAWS - done), len(confidence)))
        outcome = np.where(confidence == 0.5, 0.5, _shares(rng, _propensity(rng, level, correlation), votes))
        drawn.append(_debiased_square(outcome, confidence, starts))
    return np.sqrt(np.maximum(np.concatenate(drawn), 0.0))


def _shares(rng: np.random.Generator, propensity: Array, votes: Array) -> Array:
    if (votes == 1).all():
        return (rng.random(propensity.shape) < propensity).astype(np.float64)
    whole = votes.astype(np.int64)
    shares: Array = rng.binomial(whole, propensity) / whole
    return shares


def _propensity(rng: np.random.Generator, confidence: Array, correlation: float) -> Array:
    """Draw each comparison's own probability: beta with mean c and intra-comparison correlation ρ."""
    if correlation < 1e-6:
        return confidence
    if correlation > 1 - 1e-6:
        return (rng.random(confidence.shape) < confidence).astype(np.float64)
    size = 1 / correlation - 1
    # Beta needs two positive parameters; a confidence of exactly 1 has none left for the other side.
    return rng.beta(np.maximum(confidence * size, 1e-9), np.maximum((1 - confidence) * size, 1e-9))


def _checked(p_a: npt.ArrayLike, human: npt.ArrayLike, votes: npt.ArrayLike | None) -> tuple[Array, Array, Array]:
    p, y = np.asarray(p_a, dtype=np.float64), np.asarray(human, dtype=np.float64)
    k = np.ones_like(p) if votes is None else np.asarray(votes, dtype=np.float64)
    if p.ndim != 1 or not p.shape == y.shape == k.shape:
        raise DataError(f"shapes {p.shape}, {y.shape} and {k.shape} differ", expected="three of (n,)")
    if not len(p):
        raise DataError("there are no comparisons to measure", fix="label some held-out comparisons")
    if not all(((0 <= x) & (x <= 1)).all() for x in (p, y)):
        raise DataError("a value is not a probability", expected="numbers between 0 and 1")
    if not (k >= 1).all():
        raise DataError("a comparison without votes", expected="n_votes of 1 or more")
    return p, y, k
