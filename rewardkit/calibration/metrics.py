"""How good predicted probabilities are, against the humans' votes.

Terms per comparison, so that any subset can be averaged and clustered. All of them stay the same when
any subset of the comparisons is turned round (p_a and human_p_a become 1 − p_a and 1 − human_p_a): the
orientation of a comparison is arbitrary, and a number that depends on it measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from rewardkit.calibration.estimates import Array, Estimate, clustered_mean

Mask = npt.NDArray[np.bool_]

# Keeps the log loss of a certain miss finite: 34.5 nats.
SMALLEST = 1e-15


def log_loss_terms(p_a: Array, human_p_a: Array) -> Array:
    """Return the cross entropy of each comparison with the humans' votes (n,), in nats."""
    # Each side is bounded from below on its own: 1 − SMALLEST is not exactly 1 − 1e-15 in float64.
    for_a, for_b = np.maximum(p_a, SMALLEST), np.maximum(1 - p_a, SMALLEST)
    terms: Array = -(xlogy(human_p_a, for_a) + xlogy(1 - human_p_a, for_b))
    return terms


def brier_terms(p_a: Array, human_p_a: Array) -> Array:
    """Return the squared distance of each p_a from the humans' share of votes (n,)."""
    return np.square(p_a - human_p_a)


def decided(human_p_a: Array) -> Mask:
    """Return which comparisons have a human majority (n,); human ties have no right answer."""
    return np.not_equal(human_p_a, 0.5)


def correct_terms(p_a: Array, human_p_a: Array) -> Array:
    """Return 1 where the model sides with the human majority, 0.5 at p_a = 0.5, else 0 (decided only)."""
    keep = decided(human_p_a)
    return 0.5 + 0.5 * np.sign(p_a[keep] - 0.5) * np.sign(human_p_a[keep] - 0.5)


def auroc(p_a: Array, human_p_a: Array, units: Sequence[str], confidence: float) -> Estimate:
    """Return the area under the ROC curve of "A is preferred" over both orientations of each comparison.

    One orientation would make the number depend on which response happens to be called A. Over both
    it is the chance that two comparisons i and j have s_i + s_j > 0, with s the signed confidence in
    the human majority: accuracy that counts confident answers more. Human ties are left out.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,); one at least is not 0.5.
        units: The unit of each comparison.
        confidence: Level of the interval, which is clustered by unit through the influence function.
    """
    keep = decided(human_p_a)
    # Rounded, so that the last bit lost in 1 − p_a does not break ties.
    signed = ((p_a[keep] - 0.5) * np.sign(human_p_a[keep] - 0.5)).round(12)
    order = np.sort(signed)
    above = len(order) - np.searchsorted(order, -signed, side="right")
    level = np.searchsorted(order, -signed, side="right") - np.searchsorted(order, -signed, side="left")
    wins = (above + 0.5 * level) / len(order)
    # Each comparison stands on both sides of the pairs, so its influence is twice its deviation.
    return clustered_mean(2 * wins - wins.mean(), _of(units, keep), confidence, rate=True)


def accuracy(p_a: Array, human_p_a: Array, units: Sequence[str], confidence: float) -> Estimate:
    """Return the share of decided comparisons in which the model sides with the human majority."""
    return clustered_mean(correct_terms(p_a, human_p_a), _of(units, decided(human_p_a)), confidence, rate=True)


def _of(units: Sequence[str], keep: Mask) -> list[str]:
    return [unit for unit, kept in zip(units, keep, strict=True) if kept]
