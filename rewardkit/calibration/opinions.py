"""What judges said about a comparison → the probability that people prefer A: a small model without an intercept.

Every feature changes its sign when the responses are swapped (log odds of A, the ratio of lengths), and there is no
intercept: swapping the responses turns the probability round and favours no side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from rewardkit.calibration.estimates import Array
from rewardkit.errors import DataError

RIDGE = 5.0
"""Of weights for features of mean square 1: what a handful of labels may not overcome."""
STEPS = 50
STILL = 1e-8


@dataclass(frozen=True)
class OpinionModel:
    """P(people prefer A) = sigmoid(features · weights).

    Attributes:
        weights: One for each feature, (features,).
        n: Comparisons that it was fitted on.
    """

    weights: Array
    n: int

    def p_a(self, features: npt.ArrayLike) -> Array:
        """Return probabilities (m,) of features (m, features); NaN where a feature is missing (NaN)."""
        found: Array = expit(np.asarray(features, dtype=np.float64) @ self.weights)
        return found


def fit_opinions(features: npt.ArrayLike, p_human: npt.ArrayLike, ridge: float = RIDGE) -> OpinionModel:
    """Fit by penalised likelihood; rows in which a feature is missing (NaN) are left out.

    Args:
        features: Numbers that change their sign when the responses are swapped, (n, features).
        p_human: Share of people who prefer A, (n,).
        ridge: Penalty of the squared weights of features scaled to mean square 1.

    Raises:
        DataError: There is no complete row, or a share is none.

    References:
        le Cessie and van Houwelingen, Ridge estimators in logistic regression (1992).
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(p_human, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not ((y >= 0) & (y <= 1)).all():
        what = f"features {x.shape} and shares {y.shape}"
        raise DataError(what, where="cascade", expected="(n, features), and n shares from 0 to 1")
    whole = np.isfinite(x).all(axis=1)
    if not whole.any():
        what = "no comparison has both a human label and all judges' verdicts"
        raise DataError(what, where="cascade", fix="label some of those that the judges can answer")
    x, y = x[whole], y[whole]
    scale = np.sqrt(np.square(x).mean(axis=0))
    scale[scale == 0] = 1.0
    return OpinionModel(_newton(x / scale, y, ridge) / scale, len(y))


def _newton(x: Array, y: Array, ridge: float) -> Array:
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = expit(x @ weights)
        gradient = x.T @ (p - y) + ridge * weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(weights)), gradient)
        weights = weights - step
        if np.abs(step).max() < STILL:
            break
    return weights
