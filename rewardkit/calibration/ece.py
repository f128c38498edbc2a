"""Expected calibration error without its small-sample bias, and the band that honesty would show.

Plain ECE adds up |noise| over bins and is far above 0 for a perfectly calibrated model on a few
hundred comparisons. The squared error can be debiased, so that is what is estimated. Comparisons of
one unit (a prompt, or responses that share a text) rise and fall together, and what is noise is counted
by unit: else the scatter of a few dozen units would be taken for miscalibration.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    units: Sequence[str],
    bins: int | None = None,
    seed: int = 0,
) -> CalibrationError:
    """Return the debiased calibration error over equal-mass bins, with its null band.

    Per bin the squared mean residual (share of votes − confidence) less the sampling variance of that
    mean, clustered by unit. With equal confidences in a bin and one comparison a unit this is Kumar's
    ȳ(1 − ȳ)/(n − 1). Taking residuals instead of the outcomes deviates from the paper in two ways that
    matter here: the spread of confidences inside a bin is not mistaken for noise, and shares of several
    votes need no other formula. A bin of one unit shows no variance; that of a calibrated unit whose
    comparisons all go one way, c(1 − c), stands in.

    The band comes from a wild bootstrap: residuals about their bin's mean, each unit's turned round
    or not by one coin, have mean 0 as under calibration, and keep what moves together within a unit.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,).
        units: The unit of each comparison.
        bins: Number of bins; see `equal_mass_bins`.
        seed: Of the band's bootstrap.

    Raises:
        DataError: No comparisons, lengths differ, or something is no probability.

    References:
        Kumar, Liang and Ma, Verified Uncertainty Calibration (NeurIPS 2019), the debiased estimator.
        Cameron, Gelbach and Miller, Bootstrap-based improvements for inference with clustered errors
        (2008), the wild cluster bootstrap.
    """
    p, share = _checked(p_a, human_p_a, units)
    confidence, outcome = fold(p, share)
    cells = _cells(confidence, outcome - confidence, units, equal_mass_bins(confidence, bins))
    squared = float(cells.debiased_square(cells.sums))
    low, high = np.quantile(_null(cells, seed), (0.05, 0.95))
    return CalibrationError(max(squared, 0.0) ** 0.5, squared, float(low), float(high), len(cells.starts), len(p))


@dataclass(frozen=True)
class _Cells:
    """The residuals of comparisons, summed over each unit's share of a bin (a cell); J cells in B bins.

    Attributes:
        sums: Sum of the residuals, (J,), in order of the bins.
        sizes: Comparisons, (J,).
        unit: Index of the unit, (J,).
        starts: First cell of each bin, (B,).
        level: Mean confidence of each bin, (B,).
    """

    sums: Array
    sizes: Array
    unit: Index
    starts: Index
    level: Array

    @property
    def cells_of_bin(self) -> Index:
        """Number of cells in each bin (B,)."""
        return np.diff(np.append(self.starts, len(self.sums)))

    def around_mean(self, sums: Array) -> Array:
        """Return the sums (…, J) of residuals less the mean residual of their bins."""
        mean = np.add.reduceat(sums, self.starts, axis=-1) / self._in_bin
        return sums - np.repeat(mean, self.cells_of_bin, axis=-1) * self.sizes

    def debiased_square(self, sums: Array) -> Array:
        """Return the mean squared residual of the bins less its sampling variance, for sums (…, J)."""
        total = np.add.reduceat(sums, self.starts, axis=-1)
        scatter = np.add.reduceat(np.square(self.around_mean(sums)), self.starts, axis=-1)
        several = self.cells_of_bin > 1
        factor = self.cells_of_bin / np.maximum(self.cells_of_bin - 1, 1)
        variance = np.where(several, factor * scatter / np.square(self._in_bin), self.level * (1 - self.level))
        squared: Array = ((np.square(total / self._in_bin) - variance) * self._in_bin).sum(axis=-1) / self.sizes.sum()
        return squared

    @property
    def _in_bin(self) -> Array:
        return np.add.reduceat(self.sizes, self.starts)


def _cells(confidence: Array, residual: Array, units: Sequence[str], bins: Index) -> _Cells:
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    key, cell = np.unique(bins * len(names) + unit, return_inverse=True)
    return _Cells(
        sums=np.bincount(cell, weights=residual).astype(np.float64),
        sizes=np.bincount(cell).astype(np.float64),
        unit=key % len(names),
        starts=np.unique(key // len(names), return_index=True)[1],
        level=np.bincount(bins, weights=confidence) / np.bincount(bins),
    )


def _null(cells: _Cells, seed: int) -> Array:
    """Return the statistic of DRAWS wild bootstrap samples under calibration."""
    rng = np.random.default_rng(seed)
    count, level = (np.repeat(each, cells.cells_of_bin) for each in (cells.cells_of_bin, cells.level))
    centred = cells.around_mean(cells.sums) * np.sqrt(count / np.maximum(count - 1, 1))
    n_units, drawn = int(cells.unit.max()) + 1, []
    at_once = max(1, NUMBERS_AT_ONCE // len(centred))
    for done in range(0, DRAWS, at_once):
        u = rng.random((min(at_once, DRAWS - done), n_units))[:, cells.unit]
        # A bin of one cell has nothing around its mean: its unit goes one way, as often as the model says.
        alone = cells.sizes * ((u < level) - level)
        drawn.append(cells.debiased_square(np.where(count > 1, np.where(u < 0.5, centred, -centred), alone)))
    return np.sqrt(np.maximum(np.concatenate(drawn), 0.0))


def _checked(p_a: npt.ArrayLike, human: npt.ArrayLike, units: Sequence[str]) -> tuple[Array, Array]:
    p, y = np.asarray(p_a, dtype=np.float64), np.asarray(human, dtype=np.float64)
    if p.ndim != 1 or not p.shape == y.shape == (len(units),):
        raise DataError(f"shapes {p.shape} and {y.shape} for {len(units)} units differ", expected="one of each")
    if not len(p):
        raise DataError("there are no comparisons to measure", fix="label some held-out comparisons")
    if not all(((0 <= x) & (x <= 1)).all() for x in (p, y)):
        raise DataError("a value is not a probability", expected="numbers between 0 and 1")
    return p, y
