"""Reliability diagram and margin histogram: numbers first, then a drawing of them."""

import json

import numpy as np
import pytest

from rewardkit.calibration.reliability import margin_histogram, reliability
from rewardkit.errors import DataError


def test_bins_by_hand():
    # 30 comparisons at .6 (18 right) and 30 at .9 (27 right), half of them turned round.
    p = np.array([0.6, 0.4] * 15 + [0.9, 0.1] * 15)
    right = np.array([1.0] * 18 + [0.0] * 12 + [1.0] * 27 + [0.0] * 3)
    human = np.where(p > 0.5, right, 1 - right)
    got = reliability(p, human, [str(i) for i in range(60)])
    assert [(b.n, round(b.confidence, 9), round(b.frequency.value, 9)) for b in got.bins] == [
        (30, 0.6, 0.6),
        (30, 0.9, 0.9),
    ]
    assert all(b.frequency.low < b.frequency.value < b.frequency.high for b in got.bins)
    assert (got.n, got.n_units) == (60, 60)
    json.dumps(got.to_json(), allow_nan=False)


def test_the_histogram_counts_margins_toward_the_majority():
    # Toward the majority: 2, 1, −1; the tie is left out.
    got = margin_histogram([2.0, -1.0, 1.0, 5.0], [1.0, 0.0, 0.2, 0.5], bins=4)
    assert got.edges == (-2.0, -1.0, 0.0, 1.0, 2.0)
    assert got.counts == (0, 1, 0, 2)
    assert (got.n, got.n_ties) == (3, 1)
    assert json.loads(json.dumps(got.to_json()))["n"] == 3


def test_an_edge_lies_at_zero_exactly_whatever_the_reach():
    for reach in np.random.default_rng(0).uniform(0.1, 10, 200):
        assert margin_histogram([reach], [1.0]).edges[15] == 0.0


def test_the_histogram_of_ties_or_zeros_is_empty_or_flat():
    assert sum(margin_histogram([1.0], [0.5]).counts) == 0
    assert sum(margin_histogram([0.0], [1.0]).counts) == 1


def test_they_draw_themselves():
    rng = np.random.default_rng(0)
    p = rng.random(120)
    human = (rng.random(120) < p).astype(float)
    drawn = reliability(p, human, [str(i) for i in range(120)]).plot()
    assert drawn.get_xlabel() and drawn.figure is not None
    histogram = margin_histogram(p - 0.5, human)
    assert len(histogram.plot(drawn).patches) >= len(histogram.counts)
    histogram.plot()


@pytest.mark.parametrize(("p", "human", "units"), [([], [], []), ([0.5], [0.5], []), ([np.nan], [1.0], ["u"])])
def test_bad_input_is_refused(p, human, units):
    with pytest.raises(DataError):
        reliability(p, human, units)
