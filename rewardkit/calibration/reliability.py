"""The two pictures of calibration as results: the reliability diagram and the margin histogram.

Numbers first; `.plot` draws them on any axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.ece import equal_mass_bins, fold
from rewardkit.calibration.estimates import Array, Estimate, clustered_mean
from rewardkit.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin: the model's mean confidence and how often the humans agreed with it."""

    n: int
    confidence: float
    frequency: Estimate


@dataclass(frozen=True)
class Reliability:
    """Confidence in the preferred response against the humans' frequency, over equal-mass bins."""

    bins: tuple[ReliabilityBin, ...]
    n: int
    n_units: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        bins = [{"n": b.n, "confidence": b.confidence, "frequency": b.frequency.to_json()} for b in self.bins]
        return {"n": self.n, "n_units": self.n_units, "bins": bins}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw frequency over confidence with intervals, beside the diagonal."""
        ax = _axes(ax)
        x = [b.confidence for b in self.bins]
        y = np.array([b.frequency.value for b in self.bins])
        low = np.array([b.frequency.low for b in self.bins])
        high = np.array([b.frequency.high for b in self.bins])
        ax.plot([0.5, 1.0], [0.5, 1.0], linestyle="--", color="0.6", label="perfectly calibrated")
        ax.errorbar(x, y, yerr=[y - low, high - y], fmt="o", capsize=3, label=f"n = {self.n}")
        ax.set(xlabel="confidence in the preferred response", ylabel="share of human votes for it", xlim=(0.48, 1.02))
        ax.legend(loc="best")
        return ax


@dataclass(frozen=True)
class MarginHistogram:
    """Margins in favour of the response that the human majority prefers: above 0 is right.

    Attributes:
        edges: Edges of the bins (bins + 1), symmetric about 0.
        counts: Comparisons in each bin (bins,).
        n: Comparisons with a human majority.
        n_ties: Comparisons without one, which have no right side and are left out.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    n: int
    n_ties: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"edges": list(self.edges), "counts": list(self.counts), "n": self.n, "n_ties": self.n_ties}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the histogram, with the line that parts wrong from right."""
        ax = _axes(ax)
        ax.bar(self.edges[:-1], self.counts, width=np.diff(self.edges), align="edge", edgecolor="white")
        ax.axvline(0.0, linestyle="--", color="0.3")
        ax.set(xlabel="margin toward the human majority", ylabel="comparisons", title=f"n = {self.n}")
        return ax


def reliability(
    p_a: npt.ArrayLike, human_p_a: npt.ArrayLike, units: Sequence[str], confidence: float = 0.95
) -> Reliability:
    """Bin the folded confidences (see `fold`) and compare each bin with the humans.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,).
        units: The unit of each comparison; intervals are clustered by it.
        confidence: Level of the intervals.

    Raises:
        DataError: There are no comparisons, or the lengths differ.
    """
    predicted, human = _pair(p_a, human_p_a)
    if len(units) != len(predicted):
        raise DataError(f"{len(predicted)} probabilities and {len(units)} units", expected="as many of each")
    level, share = fold(predicted, human)
    bin_of, names = equal_mass_bins(level), np.asarray(units)
    rows = [np.flatnonzero(bin_of == k) for k in range(int(bin_of.max()) + 1)]
    bins = tuple(
        ReliabilityBin(
            len(row),
            float(level[row].mean()),
            clustered_mean(share[row], names[row].tolist(), confidence, rate=True),
        )
        for row in rows
    )
    return Reliability(bins, len(predicted), len(set(units)))


def margin_histogram(margins: npt.ArrayLike, human_p_a: npt.ArrayLike, bins: int = 30) -> MarginHistogram:
    """Count margins toward the human majority, in bins symmetric about 0.

    Args:
        margins: reward_a − reward_b, (n,).
        human_p_a: Share of human votes for A (n,).
        bins: How many; an even number, so that an edge lies at 0.

    Raises:
        DataError: There are no comparisons, or the lengths differ.
    """
    margin, human = _pair(margins, human_p_a)
    keep = human != 0.5
    toward = margin[keep] * np.sign(human[keep] - 0.5)
    reach = float(np.abs(toward).max(initial=0.0)) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    # The steps do not always meet it, and the sign decides between right and wrong.
    edges[bins // 2] = 0.0
    counts, _ = np.histogram(toward, bins=edges)
    return MarginHistogram(tuple(edges.tolist()), tuple(counts.tolist()), int(keep.sum()), int((~keep).sum()))


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise DataError(f"shapes {x.shape} and {y.shape}", expected="two of (n,), n ≥ 1")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("a value is not finite", expected="finite numbers")
    return x, y


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(5, 4), layout="constrained").add_subplot()
