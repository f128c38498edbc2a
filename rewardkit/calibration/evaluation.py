"""All that is measured on a set of held-out human labels, in one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardkit.calibration.ece import CalibrationError, debiased_ece
from rewardkit.calibration.estimates import Estimate, clustered_mean
from rewardkit.calibration.metrics import accuracy, auroc, brier_terms, decided, log_loss_terms
from rewardkit.errors import DataError


@dataclass(frozen=True)
class Measurement:
    """How well predicted probabilities agree with held-out humans.

    Attributes:
        accuracy: Share of decided comparisons on the side of the human majority; p_a = 0.5 counts a
            half. None where every comparison is a human tie.
        log_loss: Mean cross entropy with the votes, in nats; 0.693 is a coin.
        brier: Mean squared distance from the share of votes; 0.25 is a coin against hard votes.
        auroc: See `metrics.auroc`; None where every comparison is a human tie.
        ece: Debiased calibration error with its null band.
        n: Comparisons.
        n_units: Units among them.
        n_ties: Comparisons without a human majority.
    """

    accuracy: Estimate | None
    log_loss: Estimate
    brier: Estimate
    auroc: Estimate | None
    ece: CalibrationError
    n: int
    n_units: int
    n_ties: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, ready for `json.dumps`."""
        return {
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "log_loss": self.log_loss.to_json(),
            "brier": self.brier.to_json(),
            "auroc": self.auroc.to_json() if self.auroc else None,
            "ece": self.ece.to_json(),
            "n": self.n,
            "n_units": self.n_units,
            "n_ties": self.n_ties,
        }


def measure(
    p_a: npt.ArrayLike,
    human_p_a: npt.ArrayLike,
    *,
    units: Sequence[str],
    confidence: float = 0.95,
    seed: int = 0,
) -> Measurement:
    """Measure predicted probabilities against the humans.

    Args:
        p_a: Predicted probabilities (n,).
        human_p_a: Share of human votes for A (n,).
        units: The unit of each comparison; intervals and the calibration error are clustered by it.
        confidence: Level of the intervals.
        seed: Of the calibration band's bootstrap.

    Raises:
        DataError: There are no comparisons, lengths differ, or something is no probability.
    """
    ece = debiased_ece(p_a, human_p_a, units=units, seed=seed)
    p, human = np.asarray(p_a, dtype=np.float64), np.asarray(human_p_a, dtype=np.float64)
    ties = int((~decided(human)).sum())
    some = ties < len(p)
    return Measurement(
        accuracy=accuracy(p, human, units, confidence) if some else None,
        log_loss=clustered_mean(log_loss_terms(p, human), units, confidence),
        brier=clustered_mean(brier_terms(p, human), units, confidence, rate=True),
        auroc=auroc(p, human, units, confidence) if some else None,
        ece=ece,
        n=len(p),
        n_units=len(set(units)),
        n_ties=ties,
    )


def paired_difference(
    correct_x: npt.ArrayLike, correct_y: npt.ArrayLike, units: Sequence[str], confidence: float = 0.95
) -> Estimate:
    """Return the mean of x − y over the same comparisons, clustered by unit.

    Pairing takes out what makes a comparison easy or hard for both, so that the interval is narrower
    than that of two separate rates.

    Args:
        correct_x: What the first model got right, (n,) of 0, 0.5, 1 (or any term per comparison).
        correct_y: The same for the second.
        units: The unit of each comparison.
        confidence: Level of the interval.

    Raises:
        DataError: There are no comparisons, or the lengths differ.
    """
    x, y = np.asarray(correct_x, dtype=np.float64), np.asarray(correct_y, dtype=np.float64)
    if x.shape != y.shape:
        raise DataError(f"shapes {x.shape} and {y.shape} differ", expected="the same comparisons for both")
    return clustered_mean(x - y, units, confidence)
