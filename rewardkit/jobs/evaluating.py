"""The stage `evaluate`: the model against held-out humans, beside the baselines that unmask a fake."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardkit import runs
from rewardkit.audit.results import Level as RankLevel
from rewardkit.calibration.calibrators import CALIBRATION_FILE, Calibration
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.evaluation import paired_difference
from rewardkit.calibration.metrics import correct_terms, decided
from rewardkit.calibration.reliability import margin_histogram, reliability
from rewardkit.jobs.costs import Work
from rewardkit.jobs.criteria import criteria_rows
from rewardkit.jobs.learning import (
    HISTORY,
    MODEL,
    MODEL_ROOMS,
    held_out,
    human_shares,
    model_inputs,
    require_same,
    scoring_work,
)
from rewardkit.jobs.model_readme import write_readme
from rewardkit.jobs.predictors import (
    HeldOut,
    Level,
    Predictions,
    baselines,
    measured,
    model_predictions,
    shuffled_predictions,
)
from rewardkit.jobs.preferences import DIAGNOSTICS, FILE, read_preferences
from rewardkit.jobs.stages import Job, Stage, Summary, given
from rewardkit.report.data import Example, ReportData, Row, TrainingCurve
from rewardkit.report.page import write_report
from rewardkit.types import PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

Array = NDArray[np.float64]
EXAMPLES_SHOWN = 3
JOB_ROOMS = tuple(
    f"jobs/{name}"
    for name in ("evaluating", "criteria", "predictors", "learning", "model_readme", "preferences", "rewards")
)


def row(name: str, predictions: Predictions | str, against: Predictions, level: Level) -> Row:
    """Make a row of the table, with the model's advantage in accuracy over the comparisons both answer."""
    if isinstance(predictions, str):
        return Row(name, None, predictions, None)
    measurement = predictions.measurement(level)
    difference = advantage(against, predictions, level.confidence)
    return Row(name, measurement, predictions.note, difference)


def advantage(model: Predictions, other: Predictions, confidence: float) -> Estimate | None:
    """Return accuracy of the model minus that of the other, paired, on what the humans decided."""
    theirs = {e.preference.comparison_id: p for e, p in zip(other.examples, other.p_a, strict=True)}
    both = [(e, p) for e, p in zip(model.examples, model.p_a, strict=True) if e.preference.comparison_id in theirs]
    if not both:
        return None
    examples = [e for e, _ in both]
    human = np.array(human_shares(examples))
    keep = decided(human)
    if not keep.any():
        return None
    mine = correct_terms(np.array([p for _, p in both]), human)
    yours = correct_terms(np.array([theirs[e.preference.comparison_id] for e in examples]), human)
    units = [e.preference.unit for e, kept in zip(examples, keep, strict=True) if kept]
    found = paired_difference(mine, yours, units, confidence)
    # With few units the t interval can leave what a difference of two shares can be.
    return replace(found, low=max(found.low, -1.0), high=min(found.high, 1.0))


def by(attribute: Callable[[PreferenceExample], str], model: Predictions, level: Level) -> tuple[Row, ...]:
    """Measure the model on each group of comparisons."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(model.examples):
        groups[attribute(example) or "unnamed"].append(index)
    rows = []
    for name, places in sorted(groups.items()):
        examples = [model.examples[i] for i in places]
        rows.append(Row(name, measured(examples, model.p_a[places], level), "", None))
    return tuple(rows)


def shown_examples(model: Predictions) -> tuple[tuple[str, tuple[Example, ...]], ...]:
    """Choose comparisons that a person would want to read: the best, the worst, the closest."""
    found = [_example(e, float(p)) for e, p in zip(model.examples, model.p_a, strict=True)]
    clear = [e for e in sorted(found, key=lambda e: -e.p_preferred) if e.human_share != 0.5]
    chosen = {
        "Most confidently right": [e for e in clear if e.human_share > 0.5],
        "Most confidently wrong": [e for e in clear if e.human_share < 0.5],
        "Closest calls": clear[::-1],
    }
    return tuple((heading, tuple(some[:EXAMPLES_SHOWN])) for heading, some in chosen.items())


def _example(example: PreferenceExample, p_a: float) -> Example:
    """See a comparison from the response that the model prefers."""
    seen, p_preferred = (example, p_a) if p_a >= 0.5 else (example.swapped(), 1 - p_a)
    share = seen.preference.human_p_a
    assert share is not None
    prompt = "\n\n".join(m.content for m in seen.prompt)
    return Example(
        prompt, seen.response_a, seen.response_b, p_preferred, share, seen.task, n_votes=seen.preference.n_human
    )


def _shuffled(job: Job, model: LoadedModel, predictions: Predictions, level: Level) -> Row | None:
    if "shuffled_prompt" not in given(job.config.evaluate).baselines:
        return None
    calibration = Calibration.load(job.output("train", MODEL))
    other = shuffled_predictions(model, calibration, predictions.examples, job.config.seed)
    return row("reward model, shuffled prompts", other, predictions, level)


def _unit(job: Job) -> str:
    """Say in a word what intervals are clustered by."""
    config = job.config.aggregate
    return "text group" if config is not None and config.split.by == "text" else "prompt"


def _evaluate(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.reward_model import folder as model_folder

    config = given(job.config.evaluate)
    path = job.output("train", MODEL)
    calibration = Calibration.load(path)
    examples = read_preferences(job.output("aggregate", FILE))
    data = HeldOut(held_out(examples, "calibration"), held_out(examples, "test"))
    model = model_folder.load(path)
    predictions = model_predictions(model, calibration, data.test)
    others = baselines(job, data)
    level = Level(config.confidence, job.config.seed)
    # Whoever rated a response need not have compared it.
    tested = [e for e in examples if e.preference.split == "test"]
    raw = Predictions(predictions.examples, predictions.margins, 1 / (1 + np.exp(-predictions.margins)))
    report = ReportData(
        title=job.config.name,
        created=runs.now(),
        simulated=_simulated(job, predictions.examples),
        unit=_unit(job),
        model=Row("reward model", predictions.measurement(level), predictions.note),
        uncalibrated=Row("reward model, uncalibrated", raw.measurement(level)),
        baselines=tuple(row(name, other, predictions, level) for name, other in others.items()),
        shuffled=_shuffled(job, model, predictions, level),
        by_task=by(lambda e: e.task, predictions, level),
        by_source=by(lambda e: e.source, predictions, level),
        reliability=_reliability(predictions, config.confidence),
        margins=margin_histogram(predictions.margins, human_shares(predictions.examples)),
        curve=_curve(job),
        calibration=calibration,
        aggregation=_read(job.output("aggregate", DIAGNOSTICS)),
        splits=_split_sizes(examples),
        examples=shown_examples(predictions),
        settings=job.config.resolved(),
        versions=runs.versions(),
        seconds=_seconds(job),
        criteria=criteria_rows(model, tested, RankLevel(config.confidence, seed=job.config.seed)),
    )
    page = write_report(report, folder.path, config.report)
    assert report.model.measurement is not None
    write_readme(path, job.config.name, examples, report.model.measurement)
    return {"report": str(page), **report.model.measurement.to_json()}


def _reliability(predictions: Predictions, confidence: float) -> Any:
    units = [e.preference.unit for e in predictions.examples]
    return reliability(predictions.p_a, human_shares(predictions.examples), units, confidence)


def _simulated(job: Job, examples: Sequence[PreferenceExample]) -> str:
    """Say in plain words what on the page was not said by people."""
    count = sum(e.simulated for e in examples)
    if not count:
        return ""
    who = ""
    if job.config.simulate is not None:
        who = ": " + ", ".join(a.name for a in job.config.simulate.annotators)
    return (
        f"The labels of {count} of the {len(examples)} test comparisons come from simulated annotators{who}. "
        "They follow a stated quality of each text with stated reliability and bias; no person was asked."
    )


def _curve(job: Job) -> TrainingCurve | None:
    manifest = job.folder("train").manifest()
    if manifest is None:
        return None
    history = _read(job.output("train", HISTORY))
    summary = manifest.summary
    return TrainingCurve(tuple(history), int(summary["n_train"]), int(summary["n_validation"]))


def _split_sizes(examples: Sequence[PreferenceExample]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for split in ("train", "validation", "calibration", "test"):
        units = [e.preference.unit for e in examples if e.preference.split == split]
        found.append((split, len(units), len(set(units))))
    return tuple(found)


def _seconds(job: Job) -> Mapping[str, float]:
    names = ("import", "simulate", "judge", "aggregate", "train", "calibrate")
    manifests = {name: job.folder(name).manifest() for name in names}
    return {name: manifest.seconds for name, manifest in manifests.items() if manifest is not None}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _inputs(job: Job) -> dict[str, str]:
    model = job.output("train", MODEL)
    job.output("calibrate", "manifest.json")
    inputs = model_inputs(job)
    require_same(job, "calibrate", inputs)
    return {**inputs, CALIBRATION_FILE: runs.file_hash(model / CALIBRATION_FILE)}


def _size(job: Job) -> str:
    config = given(job.config.evaluate)
    count = len(held_out(read_preferences(job.output("aggregate", FILE)), "test"))
    return f"{count} held-out comparisons with human labels, {len(config.baselines)} baselines"


def _work(job: Job) -> Work:
    examples = read_preferences(job.output("aggregate", FILE))
    test, calibration = (held_out(examples, split) for split in ("test", "calibration"))
    asked = given(job.config.evaluate).baselines
    passes = [test]
    passes += [test] if "shuffled_prompt" in asked else []
    passes += [test, calibration] if "untrained" in asked else []
    return scoring_work(job, *passes)


def _outputs(job: Job) -> tuple[Path, ...]:
    config = given(job.config.evaluate)
    return (job.folder("evaluate").path / config.report,)


EVALUATE = Stage(
    "evaluate",
    "evaluate",
    ("aggregation", "audit", "calibration", "report", "reward_model", *MODEL_ROOMS, *JOB_ROOMS),
    _inputs,
    _evaluate,
    _size,
    _work,
    outputs=_outputs,
    extra="train",
)
