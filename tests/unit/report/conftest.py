"""A small evaluation, measured for real on seeded arrays, as the report gets it from the job."""

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.special import expit

from rewardkit.calibration.calibrators import fit_calibration
from rewardkit.calibration.evaluation import measure, paired_difference
from rewardkit.calibration.metrics import correct_terms, decided
from rewardkit.calibration.reliability import margin_histogram, reliability
from rewardkit.report.data import Example, ReportData, Row, TrainingCurve

CREATED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
N, UNITS = 300, 30


@pytest.fixture(scope="session")
def data():
    """300 comparisons of 30 prompts; the votes are drawn from twice the margins' probabilities' logits."""
    rng = np.random.default_rng(7)
    units = [f"prompt {k % UNITS}" for k in range(N)]
    margins = rng.normal(0, 2, N)
    votes = rng.binomial(3, expit(margins)) / 3
    other = rng.normal(0, 1, N)
    calibration = fit_calibration(
        "temperature", margins, votes, comparison_ids=[str(k) for k in range(N)], units=units, created_at=CREATED
    )
    p = calibration.predict_proba(margins)

    def row(name, p_a, **more):
        return Row(name, measure(p_a, votes, units=units), **more)

    kept = [unit for unit, keep in zip(units, decided(votes), strict=True) if keep]
    lead = paired_difference(correct_terms(p, votes), correct_terms(expit(other), votes), kept)
    return ReportData(
        title="a run",
        created=CREATED,
        simulated="",
        model=row("reward model", p),
        uncalibrated=row("not calibrated", expit(3 * margins)),
        baselines=(
            row("longer is better", expit(other), note="prefers the longer response", difference=lead),
            Row("judge alone", None, note="no judge labelled these comparisons"),
        ),
        by_task=(row("poem", p),),
        by_source=(),
        reliability=reliability(p, votes, units),
        margins=margin_histogram(margins, votes),
        curve=TrainingCurve(({"step": 1, "loss": 0.7}, {"step": 2, "validation_loss": 0.6}), 900, 100),
        calibration=calibration,
        aggregation={
            "method": "anchored",
            "comparisons": 1500,
            "labels_used": 4500,
            "human_reliability": 0.8123,
            "human_agreement": 0.69,
            "human_vote_pairs": 4100,
            "judge_weight": 0.0,
            "judge_weight_estimate": {"value": -0.05, "low": None, "high": None, "n": 9, "n_units": 1},
            "judge_note": "the judges do not agree with the humans beyond chance: they are not used",
            "position_residual": {"value": 1.5, "low": 1.25, "high": 1.75, "n": 9, "n_units": 4},
        },
        splits=(("train", 900, 90), ("test", N, UNITS)),
        examples=(("Confidently wrong", (Example("Rhyme.", "moon\n\tJune", "cat", 0.9, 0.0, "poem", 3),)),),
        settings={"train": {"epochs": 2.0}, "workspace": "."},
        versions={"rewardkit": "0.1.0"},
        seconds={"train": 61.0, "evaluate": 2.5},
    )
