"""Report data computed by the real metrics on seeded arrays."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from rewardkit.aggregation.aggregators import Diagnostics, SplitSize
from rewardkit.calibration.evaluation import measure, paired_difference
from rewardkit.calibration.metrics import correct_terms
from rewardkit.calibration.reliability import margin_histogram, reliability
from rewardkit.report.data import Example, ReportData, Row, TrainingCurve


def labels(margins, seed):
    """Draw one vote for each margin, as often right as a calibrated model would be."""
    return (np.random.default_rng(seed).random(len(margins)) < 1 / (1 + np.exp(-margins))).astype(float)


def diagnostics(n):
    return Diagnostics(
        method="anchored",
        comparisons=n,
        unlabelled=0,
        labels_used=n,
        labels_abstained=0,
        labels_failed=0,
        labels_superseded=0,
        labels_elsewhere=0,
        splits={"test": SplitSize(comparisons=n, units=40, with_human=n)},
    )


@pytest.fixture
def make():
    """Return a function that makes a report of n comparisons, whose probabilities are `sharpen` times too sure."""

    def build(n=400, units=40, sharpen=1.0, skill=2.0, **fields):
        margins = np.random.default_rng(0).normal(0, skill, n)
        human = labels(margins, 1)
        names = [f"prompt {i % units}" for i in range(n)]
        p_a = 1 / (1 + np.exp(-sharpen * margins))
        coin = np.random.default_rng(2).uniform(0.4, 0.6, n)
        lead = paired_difference(correct_terms(p_a, human), correct_terms(coin, human), names)
        made = {
            "title": "a test",
            "created": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            "simulated": "",
            "model": Row("reward model", measure(p_a, human, units=names)),
            "uncalibrated": Row("reward model, uncalibrated", measure(p_a, human, units=names)),
            "baselines": (Row("longer is better", measure(coin, human, units=names), "", lead),),
            "by_task": (),
            "by_source": (),
            "reliability": reliability(p_a, human, names),
            "margins": margin_histogram(margins, human),
            "curve": TrainingCurve(({"step": 1, "loss": 0.7}, {"step": 2, "validation_loss": 0.6}), 10, 5),
            "calibration": None,
            "aggregation": diagnostics(n).model_dump(mode="json"),
            "splits": (("train", 10, 2), ("test", n, units)),
            "examples": (("Closest calls", (Example("Why?", "Because.", "No.", 0.6, 1.0, "joke"),)),),
            "settings": {"name": "a test"},
            "versions": {"rewardkit": "0"},
            "seconds": {"train": 1.5},
        }
        return ReportData(**{**made, **fields})

    return build
