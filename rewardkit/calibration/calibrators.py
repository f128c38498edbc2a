"""Maps from the reward model's margins to probabilities, and the record that keeps one.

A calibrator is fitted on held-out human labels, last, and written beside the model. Every calibrator
is swap-antisymmetric: turning a comparison round turns p_a into 1 − p_a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError
from scipy.optimize import minimize_scalar
from scipy.special import expit

from rewardkit.calibration.estimates import Array, clustered_error, t_quantile
from rewardkit.calibration.likeness import Familiar
from rewardkit.errors import DataError, ModelError
from rewardkit.registry import lookup
from rewardkit.runs import write_text
from rewardkit.types import SCHEMA_VERSION, Finite, Record, content_id

CALIBRATION_FILE = "reward_calibration.json"

# Bounds of the temperature, as multiples of the margins' root mean square: from "the margins are far
# too timid" (logits of a hundred) to "the margins say nothing" (p_a between .499 and .501).
BOUNDS = (1e-2, 1e3)


class Calibrator(Protocol):
    """Map margins to probabilities; fitted attributes end in `_`."""

    def fit(self, margins: npt.ArrayLike, p_a: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to margins (n,), target probabilities (n,) and weights (n,)."""

    def predict_proba(self, margins: npt.ArrayLike) -> Array:
        """Return p_a (n,) for margins (n,)."""

    def interval(self, units: Sequence[str], confidence: float) -> tuple[float, float] | None:
        """Return the interval of the log temperature, clustered by unit; None where there is none."""

    def params(self) -> dict[str, float]:
        """Return what `from_params` needs to build this calibrator again."""

    @classmethod
    def from_params(cls, params: Mapping[str, float]) -> Self:
        """Build a fitted calibrator from its parameters."""


class TemperatureCalibrator:
    """p_a = sigmoid(margin / T): one parameter and no intercept, so that no side is favoured.

    Example:
        >>> calibrator = TemperatureCalibrator().fit([2.0, -2.0, 2.0, 2.0], [1.0, 0.0, 1.0, 0.0])
        >>> [round(float(p), 3) for p in calibrator.predict_proba([2.0, -2.0])]
        [0.75, 0.25]

    References:
        Guo et al., On Calibration of Modern Neural Networks (2017).
    """

    temperature_: float

    def fit(self, margins: npt.ArrayLike, p_a: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Minimise the weighted log loss over log T, between bounds.

        Args:
            margins: reward_a − reward_b, (n,).
            p_a: Share of human votes for A, (n,); soft targets are welcome.
            sample_weight: Weight of each comparison, (n,); 1 if absent.

        Raises:
            DataError: Fewer than two comparisons, all margins 0, or something not finite.
        """
        self._margins, self._p_a, self._weight = _checked(margins, p_a, sample_weight)
        scale = math.sqrt(float(np.average(np.square(self._margins), weights=self._weight)))
        low, high = (math.log(bound * scale) for bound in BOUNDS)
        found = minimize_scalar(self._loss, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
        self.temperature_ = math.exp(found.x)
        self.at_bound_ = min(found.x - low, high - found.x) < 1e-3
        return self

    def predict_proba(self, margins: npt.ArrayLike) -> Array:
        """Return p_a (n,) for margins (n,)."""
        probabilities: Array = expit(np.asarray(margins, dtype=np.float64) / self.temperature_)
        return probabilities

    def interval(self, units: Sequence[str], confidence: float) -> tuple[float, float] | None:
        """Return the sandwich interval of log T, clustered by unit, from the data of the last fit.

        None with fewer than two units, or where the fit ran into a bound: the likelihood is then flat.

        References:
            White, Maximum likelihood estimation of misspecified models (1982).
        """
        count = len(set(units))
        if count < 2 or self.at_bound_:
            return None
        logits = self._margins / self.temperature_
        p = expit(logits)
        curvature = float((self._weight * p * (1 - p) * logits**2).sum())
        error = clustered_error(self._weight * (p - self._p_a) * logits / curvature, units)
        half, centre = t_quantile(count, confidence) * error, math.log(self.temperature_)
        return centre - half, centre + half

    def params(self) -> dict[str, float]:
        """Return the temperature."""
        return {"temperature": self.temperature_}

    @classmethod
    def from_params(cls, params: Mapping[str, float]) -> Self:
        """Build a fitted calibrator from its temperature.

        Raises:
            DataError: The temperature is missing or not positive.
        """
        temperature = params.get("temperature", math.nan)
        if not (math.isfinite(temperature) and temperature > 0):
            raise DataError(f"the parameters are {dict(params)}", expected="a temperature above 0")
        calibrator = cls()
        calibrator.temperature_ = temperature
        return calibrator

    def _loss(self, log_temperature: float) -> float:
        logits = self._margins * math.exp(-log_temperature)
        return float((self._weight * (np.logaddexp(0.0, logits) - self._p_a * logits)).sum())


CALIBRATORS: dict[str, type[Calibrator]] = {"temperature": TemperatureCalibrator}


class Calibration(Record):
    """A fitted calibrator and what it was fitted on, as it stands beside the model.

    Attributes:
        n: Comparisons that it was fitted on.
        n_units: Units among them.
        log_temperature_low: Lower end of the interval of log T, clustered by unit; None where the
            calibrator has no temperature or the data do not bound it.
        log_temperature_high: Upper end of the same interval.
        confidence: Level of the interval.
        comparisons_digest: Hash of the ids of the comparisons, whatever their order.
        texts: What the texts of the comparisons look like; None where nobody told.
    """

    schema_version: int = SCHEMA_VERSION
    method: str
    params: dict[str, Finite]
    n: int = Field(ge=2)
    n_units: int = Field(ge=1)
    log_temperature_low: Finite | None = None
    log_temperature_high: Finite | None = None
    confidence: float = Field(0.95, gt=0, lt=1)
    created_at: datetime
    comparisons_digest: str
    texts: Familiar | None = None

    def predict_proba(self, margins: npt.ArrayLike) -> Array:
        """Return p_a (n,) for margins (n,)."""
        calibrator = lookup("calibrators", CALIBRATORS, self.method).from_params(self.params)
        return calibrator.predict_proba(margins)

    def interval(self, margins: npt.ArrayLike) -> tuple[Array, Array] | None:
        """Return the ends of the intervals of p_a, two of (n,): p_a at either end of the temperature's interval.

        None where the temperature has no interval. They tell what the fit to n comparisons leaves open, and nothing
        of whether a margin is right.
        """
        if self.log_temperature_low is None or self.log_temperature_high is None:
            return None
        temperatures = [float(np.exp(np.float64(log))) for log in (self.log_temperature_low, self.log_temperature_high)]
        if min(temperatures) == 0 or not math.isfinite(max(temperatures)):
            # From a handful of comparisons: the interval reaches as far as numbers do.
            return None
        one, other = (
            TemperatureCalibrator.from_params({"temperature": each}).predict_proba(margins) for each in temperatures
        )
        return np.minimum(one, other), np.maximum(one, other)

    def save(self, folder: Path) -> Path:
        """Write `reward_calibration.json` into a folder, whole or not at all.

        Raises:
            OutputError: The folder cannot be written.
        """
        path = folder / CALIBRATION_FILE
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `reward_calibration.json` from a folder.

        Raises:
            ModelError: It is missing, not readable, or not a calibration.
        """
        path = folder / CALIBRATION_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise ModelError(
                "the model is not calibrated", where=str(path), fix="rewardkit calibrate CONFIG"
            ) from error
        except (OSError, ValidationError) as error:
            raise ModelError(
                f"the calibration cannot be read: {error}", where=str(path), fix="rewardkit calibrate CONFIG"
            ) from error


def fit_calibration(  # noqa: PLR0913 - keyword-only past the first three
    method: str,
    margins: npt.ArrayLike,
    p_a: npt.ArrayLike,
    *,
    comparison_ids: Sequence[str],
    units: Sequence[str],
    created_at: datetime,
    confidence: float = 0.95,
) -> Calibration:
    """Fit a registered calibrator on held-out human labels and record it.

    Args:
        method: A registered calibrator.
        margins: reward_a − reward_b, (n,).
        p_a: Share of human votes for A, (n,).
        comparison_ids: Which comparisons these are, n ids.
        units: The unit of each comparison, n names.
        created_at: When; passed, so that the function stays a function of its arguments.
        confidence: Level of the interval.

    Raises:
        ConfigError: No calibrator of that name is registered.
        DataError: The data cannot be fitted, or the lengths differ.
    """
    calibrator = lookup("calibrators", CALIBRATORS, method)().fit(margins, p_a)
    n = len(np.asarray(margins))
    if not n == len(units) == len(comparison_ids):
        raise DataError(f"{n} margins, {len(units)} units, {len(comparison_ids)} ids", expected="as many of each")
    low, high = calibrator.interval(units, confidence) or (None, None)
    return Calibration(
        method=method,
        params=calibrator.params(),
        n=n,
        n_units=len(set(units)),
        log_temperature_low=low,
        log_temperature_high=high,
        confidence=confidence,
        created_at=created_at,
        comparisons_digest=comparisons_digest(comparison_ids),
    )


def comparisons_digest(comparison_ids: Sequence[str]) -> str:
    """Return a hash of the set of comparisons, whatever their order."""
    return content_id("comparisons", *sorted(comparison_ids))


def _checked(margins: npt.ArrayLike, p_a: npt.ArrayLike, weight: npt.ArrayLike | None) -> tuple[Array, Array, Array]:
    x, y = np.asarray(margins, dtype=np.float64), np.asarray(p_a, dtype=np.float64)
    w = np.ones_like(x) if weight is None else np.asarray(weight, dtype=np.float64)
    where = "calibration"
    if x.ndim != 1 or not x.shape == y.shape == w.shape:
        raise DataError(f"shapes {x.shape}, {y.shape} and {w.shape} differ", where=where, expected="three of (n,)")
    if len(x) < 2:
        raise DataError(f"{len(x)} labelled comparisons", where=where, expected="two or more", fix="label more")
    if not (np.isfinite(x).all() and np.isfinite(w).all()):
        raise DataError("a margin or a weight is not finite", where=where, expected="finite numbers")
    if not ((y >= 0) & (y <= 1)).all():
        raise DataError("a target is not a probability", where=where, expected="p_a between 0 and 1")
    if (w < 0).any() or not (w > 0).any():
        raise DataError("the weights are negative or all 0", where=where, expected="weights ≥ 0, some > 0")
    if not x[w > 0].any():
        raise DataError(
            "every margin is 0: the model tells no response from another",
            where=where,
            expected="margins that differ",
            fix="train the model, or check that the prompt and response reach it",
        )
    return x, y, w
