"""The stage `curve`: the same model trained on more and more of the comparisons, to see what more labels would bring.

Each size is trained, calibrated and measured by itself, on the same held-out comparisons; a size that is done is not
done again when the stage is interrupted. The comparisons of a smaller size are among those of a larger one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardkit import runs
from rewardkit.calibration.calibrators import CALIBRATORS
from rewardkit.config import TrainConfig
from rewardkit.jobs.costs import Work, characters
from rewardkit.jobs.learning import (
    MODEL_ROOMS,
    held_out,
    human_shares,
    learnt_from,
    preferences_hash,
    refuse_divergence,
)
from rewardkit.jobs.predictors import HeldOut, Level, Predictions, calibrated_alike, judge_alone, longer
from rewardkit.jobs.preferences import FILE, read_preferences
from rewardkit.jobs.rewards import margins
from rewardkit.jobs.stages import Job, Stage, Summary, given, model_revision
from rewardkit.progress import log
from rewardkit.registry import lookup
from rewardkit.types import PreferenceExample, content_id

if TYPE_CHECKING:
    from rewardkit.report.curve_figure import CurvePoint

CONFIDENCE = 0.95


def _curve(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.report.curve_figure import LearningCurve, write_curve

    examples = read_preferences(job.output("aggregate", FILE))
    sizes = sizes_of(job, examples)
    points = [_point(job, examples, size, folder.partial / str(size)) for size in sizes]
    data = HeldOut(held_out(examples, "calibration"), held_out(examples, "test"))
    level = Level(CONFIDENCE, job.config.seed)
    found = {"longer is better": calibrated_alike(longer, data), "judge alone": calibrated_alike(judge_alone, data)}
    beside = {name: each.measurement(level) for name, each in found.items() if isinstance(each, Predictions)}
    curve = LearningCurve(tuple(points), beside)
    write_curve(curve, folder.path)
    return {"figure": str(folder.path / "curve.svg"), **{f"accuracy after {p.n_train}": _told(p) for p in points}}


def _told(point: CurvePoint) -> str:
    known = point.measured.accuracy
    return f"{known.value:.3f} ({known.low:.3f} to {known.high:.3f}, n = {known.n})" if known else "people decided none"


def _point(job: Job, examples: Sequence[PreferenceExample], size: int, folder: Path) -> CurvePoint:
    """Train on so many comparisons and measure, or read what was measured before an interruption."""
    from rewardkit.report.curve_figure import CurvePoint

    level = Level(CONFIDENCE, job.config.seed)
    kept = folder / "predictions.json"
    test = held_out(examples, "test")
    if not kept.exists():
        log(f"curve: {size} comparisons")
        runs.write_json(kept, _predicted(job, examples, size, folder / "partial"))
    found = json.loads(kept.read_text(encoding="utf-8"))
    p_a = found["p_a"]
    known = [example for example in test if example.preference.comparison_id in p_a]
    predictions = Predictions.of(known, [p_a[example.preference.comparison_id] for example in known])
    return CurvePoint(found["n_train"], predictions.measurement(level))


def _predicted(job: Job, examples: Sequence[PreferenceExample], size: int, folder: Path) -> dict[str, Any]:
    """Return p_a of each test comparison by a model that learned from so many others, and how many could be used."""
    from rewardkit.reward_model import folder as model_folder
    from rewardkit.reward_model.training import train

    config = _config_of(job, examples, size)
    model = model_folder.create(config, seed=job.config.seed)
    result = train(model, examples, config, folder=folder, seed=job.config.seed)
    refuse_divergence(result.history, config)
    fitted = margins(model, held_out(examples, "calibration"), "curve: calibration")
    method = job.config.calibrate.method if job.config.calibrate else "temperature"
    calibrator = lookup("calibrators", CALIBRATORS, method)().fit(fitted.values, human_shares(fitted.examples))
    scored = margins(model, held_out(examples, "test"), "curve: test")
    p_a = calibrator.predict_proba(scored.values).tolist()
    told = {e.preference.comparison_id: p for e, p in zip(scored.examples, p_a, strict=True)}
    return {"n_train": result.n_train, "p_a": told}


def _config_of(job: Job, examples: Sequence[PreferenceExample], size: int) -> TrainConfig:
    """Return the config for so many comparisons; a criterion on which none of them was rated yet is left out."""
    config = _train_config(job).model_copy(update={"max_examples": size})
    rated = {each.criterion for e in learnt_from(examples, config) for each in (*e.ratings_a, *e.ratings_b)}
    return config.model_copy(update={"criteria": tuple(name for name in config.criteria if name in rated)})


def sizes_of(job: Job, examples: Sequence[PreferenceExample]) -> list[int]:
    """Return how many comparisons are learned from, in rising order: those asked for that there are, and all."""
    there = len(learnt_from(examples, _train_config(job)))
    return sorted({size for size in given(job.config.curve).sizes if size < there} | {there})


def _train_config(job: Job) -> TrainConfig:
    return job.config.train or TrainConfig()


def _inputs(job: Job) -> dict[str, str]:
    config = _train_config(job)
    method = job.config.calibrate.method if job.config.calibrate else ""
    learning = content_id("learning", config.model_dump_json(), method)
    return {**preferences_hash(job), **model_revision(config.model, "train"), "train": learning}


def _size(job: Job) -> str:
    sizes = sizes_of(job, read_preferences(job.output("aggregate", FILE)))
    return f"models on {', '.join(map(str, sizes))} comparisons"


def _work(job: Job) -> Work:
    config, examples = _train_config(job), read_preferences(job.output("aggregate", FILE))
    learnt = learnt_from(examples, config)
    measured = [e for split in ("calibration", "test") for e in held_out(examples, split)]
    validation = [e for e in examples if e.preference.split == "validation"]
    sizes = sizes_of(job, examples)
    return Work(
        config.model,
        config.dtype,
        read=len(sizes) * (config.evaluations * characters(validation) + characters(measured)),
        learnt=config.epochs * sum(characters(learnt[:size]) for size in sizes),
    )


def _outputs(job: Job) -> tuple[Path, ...]:
    folder = job.folder("curve").path
    return folder / "curve.svg", folder / "curve.json"


CURVE = Stage(
    "curve",
    "curve",
    (
        *("calibration", "report", "reward_model", *MODEL_ROOMS),
        *(f"jobs/{name}" for name in ("curving", "learning", "predictors", "preferences", "rewards")),
    ),
    _inputs,
    _curve,
    _size,
    _work,
    outputs=_outputs,
    extra="train",
)
