"""What a report is made of: the results of a run, filled in by the evaluate job.

Nothing here is computed from labels; every number arrives measured, with its n and its interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rewardkit.calibration.calibrators import Calibration
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.evaluation import Measurement
from rewardkit.calibration.reliability import MarginHistogram, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = ("baselines", "by_task", "by_source", "criteria")


@dataclass(frozen=True)
class Row:
    """One line of a table: a model, a baseline, a task or a source, and how it did.

    Attributes:
        name: As a reader should see it, e.g. "longer is better".
        measurement: None where it could not be measured; the note then says why.
        note: One line on what it is.
        difference: Paired difference in accuracy, reward model − this one; None where there is none.
    """

    name: str
    measurement: Measurement | None
    note: str = ""
    difference: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "measurement": self.measurement.to_json() if self.measurement else None,
            "note": self.note,
            "difference": self.difference.to_json() if self.difference else None,
        }


@dataclass(frozen=True)
class CriterionRow:
    """How the reward model ranks responses on a criterion beside the people who rated them.

    Attributes:
        name: The criterion.
        correlation: Spearman's rank correlation; None where it could not be measured.
        note: Why not.
    """

    name: str
    correlation: Estimate | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = self.correlation.to_json() if self.correlation else None
        return {"name": self.name, "correlation": found, "note": self.note}


@dataclass(frozen=True)
class Example:
    """One held-out comparison, seen from the response that the reward model prefers.

    Attributes:
        prompt: The prompt as text; "" where there is none.
        preferred: The response that the reward model prefers.
        other: The other response.
        p_preferred: The model's calibrated probability for `preferred`, ≥ 0.5.
        human_share: Share of human votes for `preferred`; a tie counts half.
        task: The prompt's task; "" where there is none.
        n_votes: Human votes behind the share; 0 where that is not known.
    """

    prompt: str
    preferred: str
    other: str
    p_preferred: float
    human_share: float
    task: str = ""
    n_votes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "prompt": self.prompt,
            "preferred": self.preferred,
            "other": self.other,
            "p_preferred": self.p_preferred,
            "human_share": self.human_share,
            "task": self.task,
            "n_votes": self.n_votes,
        }


@dataclass(frozen=True)
class TrainingCurve:
    """Loss over the steps of training.

    Attributes:
        history: Rows with a step and either loss or validation_loss, in the order of steps.
        n_train: Comparisons trained on.
        n_validation: Comparisons that the validation loss is the mean of.
    """

    history: tuple[dict[str, float], ...]
    n_train: int
    n_validation: int

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Return the steps and the values of one quantity, without what is not finite."""
        rows = [row for row in self.history if key in row and math.isfinite(row[key])]
        return [row["step"] for row in rows], [row[key] for row in rows]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a loss that is not finite becomes None."""
        return {"n_train": self.n_train, "n_validation": self.n_validation, "history": plain(self.history)}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw loss and validation loss by step."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        steps, values = self.series("loss")
        ax.plot(steps, values, linewidth=1.2, label=f"training (n = {self.n_train})")
        steps, values = self.series("validation_loss")
        ax.plot(steps, values, marker="o", linewidth=1.8, label=f"validation (n = {self.n_validation})")
        ax.set(xlabel="step", ylabel="loss")
        ax.legend(loc="best")
        return ax


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that stands on the page.

    Attributes:
        title: Name of the page.
        created: When it was made.
        simulated: Plain words on what is simulated; "" if nothing is.
        unit: What intervals are clustered by, in the singular: "prompt", or "text group" where
            comparisons that share a text were kept together.
        model: The reward model with calibrated probabilities.
        uncalibrated: The same margins without calibration.
        baselines: What unmasks a fake; each with its paired difference.
        shuffled: The reward model where every response stands under another prompt, which tells whether
            it reads the prompt; None where that was not asked for.
        by_task: The reward model on each task.
        by_source: The reward model on each source of comparisons.
        reliability: Of the calibrated probabilities.
        margins: Of the reward model.
        curve: Of training; None where the model was not trained here.
        calibration: What the margins were calibrated with; None where they were not.
        aggregation: Diagnostics of the labels, as JSON values.
        splits: Name, comparisons and units of each split.
        examples: Headings with their examples.
        settings: The resolved config.
        versions: Package and version.
        seconds: Stage and how long it took.
        criteria: What the model says on each criterion that it has learned.
    """

    title: str
    created: datetime
    simulated: str
    model: Row
    uncalibrated: Row
    baselines: tuple[Row, ...]
    by_task: tuple[Row, ...]
    by_source: tuple[Row, ...]
    reliability: Reliability
    margins: MarginHistogram
    curve: TrainingCurve | None
    calibration: Calibration | None
    aggregation: Mapping[str, Any]
    splits: tuple[tuple[str, int, int], ...]
    examples: tuple[tuple[str, tuple[Example, ...]], ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    shuffled: Row | None = None
    unit: str = "prompt"
    criteria: tuple[CriterionRow, ...] = ()

    @property
    def compared(self) -> tuple[Row, ...]:
        """All that stands beside the model: the baselines, and the model with shuffled prompts."""
        return self.baselines if self.shuffled is None else (*self.baselines, self.shuffled)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: every number that the page shows, unrounded."""
        return {
            "title": self.title,
            "created": self.created.isoformat(),
            "simulated": self.simulated,
            "unit": self.unit,
            "model": self.model.to_json(),
            "uncalibrated": self.uncalibrated.to_json(),
            **{name: [row.to_json() for row in getattr(self, name)] for name in ROWS},
            "shuffled": self.shuffled.to_json() if self.shuffled else None,
            "reliability": self.reliability.to_json(),
            "margins": self.margins.to_json(),
            "curve": self.curve.to_json() if self.curve else None,
            "calibration": calibration_json(self.calibration),
            "aggregation": plain(self.aggregation),
            "splits": [{"split": split, "comparisons": n, "units": units} for split, n, units in self.splits],
            "examples": [{"heading": head, "examples": [e.to_json() for e in shown]} for head, shown in self.examples],
            "settings": plain(self.settings),
            "versions": plain(self.versions),
            "seconds": plain(self.seconds),
        }


def calibration_json(calibration: Calibration | None) -> dict[str, Any] | None:
    """Return a calibration as JSON values, with the interval of its temperature as the page shows it."""
    if calibration is None:
        return None
    low, high = calibration.log_temperature_low, calibration.log_temperature_high
    ends = {"temperature_low": low, "temperature_high": high}
    shown = {name: None if end is None else math.exp(end) for name, end in ends.items()}
    return {**calibration.model_dump(mode="json"), **shown}


def plain(value: Any) -> Any:
    """Return JSON values: mappings with text keys, lists, and None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
