"""The stages that make the reward model: train, calibrate."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit import runs
from rewardkit.calibration.calibrators import CALIBRATION_FILE
from rewardkit.config import TrainConfig
from rewardkit.errors import JobFailed, UserError
from rewardkit.extras import require_all
from rewardkit.hardware import part
from rewardkit.jobs.costs import Work, characters
from rewardkit.jobs.model_readme import write_readme
from rewardkit.jobs.preferences import FILE, read_preferences
from rewardkit.jobs.stages import Job, Stage, Summary, given, model_revision
from rewardkit.launching import fsdp_asked
from rewardkit.types import PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

MODEL = "model"
HISTORY = "history.json"
# What the room of the reward model stands on.
MODEL_ROOMS = ("chat", "batching", "packing", "attending", "products", "hardware", "models", "types")
# What decides a reward: the calibration that is written beside it does not.
WEIGHTS = ("adapter_model.safetensors", "rewardkit.json", "tokenizer.json")


def model_hash(model: Path) -> str:
    """Hash what decides a model's rewards."""
    members = sorted(str(file.relative_to(model)) for file in model.glob(f"*/{WEIGHTS[0]}"))
    return "-".join(runs.file_hash(model / name)[:16] for name in (*WEIGHTS, *members))


def held_out(examples: Sequence[PreferenceExample], split: str) -> list[PreferenceExample]:
    """Return the examples of a split that humans have labelled."""
    return [e for e in examples if e.preference.split == split and e.preference.human_p_a is not None]


def human_shares(examples: Sequence[PreferenceExample]) -> list[float]:
    """Return the share of human votes for A of examples that humans have labelled."""
    return [share for e in examples if (share := e.preference.human_p_a) is not None]


def _train(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.reward_model import folder as model_folder
    from rewardkit.reward_model.training import train

    config = _as_launched(given(job.config.train))
    examples = read_preferences(job.output("aggregate", FILE))
    model = model_folder.create(config, seed=job.config.seed)
    result = train(model, examples, config, folder=folder.partial, seed=job.config.seed)
    part()
    refuse_divergence(result.history, config)
    _replace_model(folder, model)
    write_readme(folder.path / MODEL, job.config.name, examples)
    runs.write_json(folder.path / HISTORY, result.history)
    return {
        "model": str(folder.path / MODEL),
        "n_train": result.n_train,
        "n_validation": result.n_validation,
        "truncated": result.truncated,
        "dropped": result.dropped,
        "tokens": result.tokens,
        "best_step": result.best_step,
    }


def _train_along(job: Job) -> None:
    """Learn from batches of its own, beside the first process of a launch, which writes what comes of it."""
    from rewardkit.reward_model import folder as model_folder
    from rewardkit.reward_model.training import train

    require_all("train")
    config = _as_launched(given(job.config.train))
    examples = read_preferences(job.output("aggregate", FILE))
    model = model_folder.create(config, seed=job.config.seed)
    train(model, examples, config, folder=job.folder("train").partial, seed=job.config.seed)
    part()


def _as_launched(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"sharded": True}) if fsdp_asked() else config


def refuse_divergence(history: Sequence[Mapping[str, float]], config: TrainConfig) -> None:
    """Refuse what came of a training whose loss left the numbers, so that no such model replaces another.

    Raises:
        JobFailed: A loss is not finite.
    """
    step = next((row["step"] for row in history if not all(map(math.isfinite, row.values()))), None)
    if step is not None:
        raise JobFailed(
            f"training diverged: the loss was no number at step {step:g}",
            expected="finite losses",
            fix=f"lower train.learning_rate, which is {config.learning_rate:g}",
        )


def _replace_model(folder: runs.StageFolder, model: LoadedModel) -> None:
    """Write the new model beside the old one and then take its place, so that there is always a whole one."""
    from rewardkit.reward_model.folder import save

    new, target = folder.partial / MODEL, folder.path / MODEL
    shutil.rmtree(new, ignore_errors=True)
    save(model, new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def preferences_hash(job: Job) -> dict[str, str]:
    """Return the hash of the preferences that are there now, as an input."""
    return {FILE: runs.file_hash(job.output("aggregate", FILE))}


def _train_inputs(job: Job) -> dict[str, str]:
    return {**preferences_hash(job), **model_revision(given(job.config.train).model, "train")}


def require_same(job: Job, stage: str, inputs: Mapping[str, str]) -> None:
    """Refuse a result that an earlier stage made of something else than what is there now.

    Preferences that were divided anew put what the model was trained on among the held-out ones: what is
    fitted or measured there would look better than it is.

    Args:
        job: The job.
        stage: The earlier stage.
        inputs: What it must have read, by name.

    Raises:
        UserError: It has read something else.
    """
    folder = job.folder(stage)
    manifest = folder.manifest()
    changed = [name for name, value in inputs.items() if manifest is None or manifest.inputs.get(name) != value]
    if changed:
        raise UserError(
            f"the stage {stage!r} has read another {changed[0]} than is there now",
            where=str(folder.path),
            expected="held-out comparisons that are the same at every stage",
            fix=f"rewardkit {stage} CONFIG   (or rewardkit run CONFIG for all stages)",
        )


def learnt_from(examples: Sequence[PreferenceExample], config: TrainConfig) -> list[PreferenceExample]:
    """Return the examples that training learns from, in the order in which a limit takes them."""
    usable = (e for e in examples if e.preference.split == "train" and e.preference.sample_weight > 0)
    return sorted(usable, key=lambda e: e.preference.unit)[: config.max_examples]


def _train_size(job: Job) -> str:
    config = given(job.config.train)
    count = len(learnt_from(read_preferences(job.output("aggregate", FILE)), config))
    return f"{count} comparisons, {config.epochs:g} epochs, {config.model} with LoRA r={config.lora.r}"


def _train_work(job: Job) -> Work:
    config = given(job.config.train)
    examples = read_preferences(job.output("aggregate", FILE))
    validation = [e for e in examples if e.preference.split == "validation"]
    return Work(
        config.model,
        config.dtype,
        read=config.evaluations * characters(validation),
        learnt=config.epochs * characters(learnt_from(examples, config)),
    )


def _calibrate(job: Job, folder: runs.StageFolder) -> Summary:
    from rewardkit.calibration.calibrators import fit_calibration
    from rewardkit.calibration.likeness import Familiar
    from rewardkit.jobs.rewards import margins
    from rewardkit.reward_model import folder as model_folder

    config = given(job.config.calibrate)
    examples = read_preferences(job.output("aggregate", FILE))
    path = job.output("train", MODEL)
    scored = margins(model_folder.load(path), held_out(examples, "calibration"), "calibrate")
    calibration = fit_calibration(
        config.method,
        scored.values,
        human_shares(scored.examples),
        comparison_ids=[e.preference.comparison_id for e in scored.examples],
        units=[e.preference.unit for e in scored.examples],
        created_at=runs.now(),
    )
    texts = [(e.prompt, text) for e in scored.examples for text in (e.response_a, e.response_b)]
    known = Familiar.of(texts, [e.preference.unit for e in scored.examples for _ in "ab"])
    written = calibration.model_copy(update={"texts": known}).save(path)
    write_readme(path, job.config.name, examples)
    counted = {"dropped": scored.dropped, "truncated": scored.truncated}
    return {"file": str(written), **counted, **calibration.model_dump(mode="json", exclude={"texts"})}


def model_inputs(job: Job) -> dict[str, str]:
    """Return what a model is used with: the preferences, which must be those it was trained on, and the model.

    Raises:
        UserError: The model is missing, or was trained on other preferences.
    """
    preferences, model = preferences_hash(job), job.output("train", MODEL)
    require_same(job, "train", preferences)
    return {**preferences, MODEL: model_hash(model)}


def _calibrate_size(job: Job) -> str:
    count = len(held_out(read_preferences(job.output("aggregate", FILE)), "calibration"))
    return f"{count} held-out comparisons with human labels"


def _calibrate_work(job: Job) -> Work:
    return scoring_work(job, held_out(read_preferences(job.output("aggregate", FILE)), "calibration"))


def scoring_work(job: Job, *passes: Sequence[PreferenceExample]) -> Work:
    """Return the work of scoring both responses of some comparisons, once a pass, with the model that was trained."""
    require_all("train")
    from rewardkit.reward_model.folder import read_card

    config = read_card(job.output("train", MODEL)).config
    return Work(config.model, config.dtype, read=sum(map(characters, passes)))


def _model_files(job: Job) -> tuple[Path, ...]:
    folder = job.folder("train").path
    return (folder / HISTORY, *(folder / MODEL / name for name in WEIGHTS))


def _calibration_file(job: Job) -> tuple[Path, ...]:
    # It stands in the model's folder, which a new training replaces.
    return (job.folder("train").path / MODEL / CALIBRATION_FILE,)


TRAIN = Stage(
    "train",
    "train",
    ("reward_model", "calibration", *MODEL_ROOMS, "jobs/learning", "jobs/model_readme", "jobs/preferences"),
    _train_inputs,
    _train,
    _train_size,
    _train_work,
    outputs=_model_files,
    extra="train",
    follow=_train_along,
)
CALIBRATE = Stage(
    "calibrate",
    "calibrate",
    (
        "calibration",
        "reward_model",
        *MODEL_ROOMS,
        "jobs/learning",
        "jobs/model_readme",
        "jobs/preferences",
        "jobs/rewards",
    ),
    model_inputs,
    _calibrate,
    _calibrate_size,
    _calibrate_work,
    outputs=_calibration_file,
    extra="train",
)
