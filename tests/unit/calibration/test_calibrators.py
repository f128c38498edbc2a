"""The temperature: against a grid, against scikit-learn, and its interval by simulation."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from rewardkit.calibration.calibrators import (
    CALIBRATION_FILE,
    Calibration,
    TemperatureCalibrator,
    comparisons_digest,
    fit_calibration,
)
from rewardkit.errors import ConfigError, DataError, ModelError, OutputError

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _drawn(n=400, temperature=2.5, seed=0):
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 4, n)
    return margins, (rng.random(n) < expit(margins / temperature)).astype(float)


def test_by_hand():
    # All margins ±2, three votes in four with the margin: sigmoid(2/T) = 3/4, T = 2/log 3.
    fitted = TemperatureCalibrator().fit([2.0, 2.0, -2.0, 2.0], [1.0, 1.0, 0.0, 0.0])
    assert fitted.temperature_ == pytest.approx(2 / math.log(3), rel=1e-5)


def test_soft_targets_and_weights_equal_repeated_votes():
    soft = TemperatureCalibrator().fit([2.0, -1.0], [0.75, 0.5], [4.0, 2.0])
    votes = TemperatureCalibrator().fit([2.0] * 4 + [-1.0] * 2, [1.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    assert soft.temperature_ == pytest.approx(votes.temperature_, rel=1e-6)


def test_no_grid_point_is_better():
    margins, y = _drawn()
    fitted = TemperatureCalibrator().fit(margins, y)

    def loss(t):
        return float((np.logaddexp(0, margins / t) - y * margins / t).mean())

    assert all(loss(fitted.temperature_) <= loss(t) + 1e-12 for t in np.geomspace(0.05, 500, 2000))
    assert fitted.temperature_ == pytest.approx(2.5, rel=0.25)


class _Margins(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its one feature."""

    def fit(self, X, y):
        self.classes_ = np.array([0.0, 1.0])
        return self

    def decision_function(self, X):
        return X[:, 0]

    def predict(self, X):
        return (X[:, 0] > 0).astype(float)


def test_agrees_with_scikit_learn():
    margins, y = _drawn(seed=4)
    X = margins[:, None]
    other = CalibratedClassifierCV(FrozenEstimator(_Margins().fit(X, y)), method="temperature").fit(X, y)
    ours = TemperatureCalibrator().fit(margins, y).predict_proba(margins)
    assert ours == pytest.approx(other.predict_proba(X)[:, 1], abs=1e-3)


def test_scaling_the_margins_scales_the_temperature():
    margins, y = _drawn()
    base = TemperatureCalibrator().fit(margins, y).temperature_
    assert TemperatureCalibrator().fit(margins * 1e-4, y).temperature_ == pytest.approx(base * 1e-4, rel=1e-5)


def test_a_model_that_is_never_or_always_right_runs_into_a_bound():
    right = TemperatureCalibrator().fit([1.0, -2.0, 3.0], [1.0, 0.0, 1.0])
    wrong = TemperatureCalibrator().fit([1.0, -2.0, 3.0], [0.0, 1.0, 0.0])
    assert right.at_bound_ and wrong.at_bound_
    assert wrong.predict_proba([3.0])[0] == pytest.approx(0.5, abs=1e-2)
    assert wrong.interval(["u", "v", "w"], 0.95) is None


def test_the_interval_covers_on_clustered_data():
    # Margins and outcomes repeat three times in each unit: without clustering the interval is √3 too narrow.
    rng, hits, runs = np.random.default_rng(11), 0, 300
    units = [str(i // 3) for i in range(360)]
    for _ in range(runs):
        margins = rng.normal(0, 4, 120)
        y = (rng.random(120) < expit(margins / 2)).astype(float)
        fitted = TemperatureCalibrator().fit(np.repeat(margins, 3), np.repeat(y, 3))
        low, high = fitted.interval(units, 0.95)
        hits += low <= math.log(2) <= high
    assert 0.92 <= hits / runs <= 0.98


@pytest.mark.parametrize(
    ("margins", "p_a", "weight"),
    [
        ([], [], None),
        ([1.0], [1.0], None),
        ([0.0, 0.0], [1.0, 0.0], None),
        ([1.0, 2.0], [1.0], None),
        ([1.0, math.nan], [1.0, 0.0], None),
        ([1.0, 2.0], [1.0, 1.1], None),
        ([1.0, 2.0], [1.0, math.nan], None),
        ([1.0, 2.0], [1.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0], [1.0, 0.0], [-1.0, 2.0]),
        ([[1.0], [2.0]], [[1.0], [0.0]], None),
    ],
)
def test_bad_data_is_refused(margins, p_a, weight):
    with pytest.raises(DataError):
        TemperatureCalibrator().fit(margins, p_a, weight)


def _fitted(**changes):
    margins, y = _drawn(60)
    ids = [f"c{i}" for i in range(60)]
    fields = {"comparison_ids": ids, "units": [str(i // 2) for i in range(60)], "created_at": NOW, **changes}
    return fit_calibration("temperature", margins, y, **fields)


def test_the_record_survives_the_disk(tmp_path):
    calibration = _fitted()
    path = calibration.save(tmp_path)
    assert path.name == CALIBRATION_FILE
    assert [p.name for p in tmp_path.iterdir()] == [CALIBRATION_FILE]
    again = Calibration.load(tmp_path)
    assert again == calibration
    assert (again.n, again.n_units) == (60, 30)
    assert again.log_temperature_low < math.log(again.params["temperature"]) < again.log_temperature_high
    direct = TemperatureCalibrator().fit(*_drawn(60)).predict_proba([1.0])
    assert again.predict_proba([1.0]) == pytest.approx(direct)


def test_the_digest_knows_the_set_and_not_the_order():
    assert comparisons_digest(["x", "y"]) == comparisons_digest(["y", "x"]) != comparisons_digest(["x", "z"])


def test_what_cannot_be_read_or_written_is_one_clear_error(tmp_path):
    with pytest.raises(ModelError, match="not calibrated"):
        Calibration.load(tmp_path)
    (tmp_path / CALIBRATION_FILE).write_text('{"method": "temperature"}')
    with pytest.raises(ModelError, match="cannot be read"):
        Calibration.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        _fitted().save(tmp_path / "file")


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="temperature"):
        fit_calibration("temprature", [1.0], [1.0], comparison_ids=["c"], units=["u"], created_at=NOW)
    with pytest.raises(DataError):
        _fitted(units=["u"])
    with pytest.raises(DataError):
        TemperatureCalibrator.from_params({"temperature": -1.0})
