"""The README of a reward model's folder: what it learned from, how good it is, and where it is not to be trusted.

Written when the model is trained, and again when it is calibrated and evaluated: a figure stands there only if it was
measured on this model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit.calibration.calibrators import CALIBRATION_FILE, Calibration
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.evaluation import Measurement
from rewardkit.models import ALIASES
from rewardkit.runs import write_text
from rewardkit.types import PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import RewardModelCard

SPLITS = ("train", "validation", "calibration", "test")


def write_readme(
    model: Path, name: str, examples: Sequence[PreferenceExample], measured: Measurement | None = None
) -> None:
    """Write it.

    Args:
        model: The model's folder.
        name: Of the job.
        examples: The preferences of all splits that it was made with.
        measured: On the test split, with the calibration that is there now.
    """
    from rewardkit.reward_model.folder import README, loading, read_card

    card = read_card(model)
    calibration = Calibration.load(model) if (model / CALIBRATION_FILE).exists() else None
    parts = [
        *_front_matter(card),
        f"# {name}: a reward model",
        "",
        *_summary(card),
        "## Data",
        "",
        *_data(examples),
        "## Figures",
        "",
        *_figures(measured, calibration),
        "## Limits",
        "",
        *_limits(card, examples, calibration),
        loading(card),
    ]
    write_text(model / README, "\n".join(parts))


def _front_matter(card: RewardModelCard) -> Iterator[str]:
    # A base that is a folder of somebody's machine is none that others could look up.
    yield from ("---", "library_name: peft", "tags: [reward-model, rewardkit]")
    if not Path(card.base).is_absolute():
        yield f"base_model: {json.dumps(ALIASES[card.base].hub_id if card.base in ALIASES else card.base)}"
    yield from ("---", "")


def _summary(card: RewardModelCard) -> Iterator[str]:
    config = card.config
    layers = f" on the last {config.train_layers} layers" if config.train_layers else ""
    yield "It says how much people would like a response to a prompt: higher is better, and only differences count."
    if config.members > 1:
        yield f"{config.members} members share the base; a reward is their mean."
    yield f"Trained by rewardkit {card.versions['rewardkit']} ({config.lora.variant}, r = {config.lora.r}{layers}):"
    yield f"loss {config.loss}, {config.epochs:g} epochs, learning rate {config.learning_rate:g}, seed {card.seed}."
    for each in card.criteria:
        yield f"It also rates `{each.name}` from 0 to 1 (mean of the training ratings {each.mean:.2f})."
    yield ""


def _data(examples: Sequence[PreferenceExample]) -> Iterator[str]:
    yield "| split | comparisons | prompts or text groups | with human labels | with judge labels | simulated |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for split in SPLITS:
        here = [e for e in examples if e.preference.split == split]
        units = len({e.preference.unit for e in here})
        human, judge = (sum(getattr(e.preference, n) > 0 for e in here) for n in ("n_human", "n_judge"))
        yield f"| {split} | {len(here)} | {units} | {human} | {judge} | {sum(e.simulated for e in here)} |"
    yield ""
    for what, names in (("Tasks", (e.task for e in examples)), ("Sources", (e.source for e in examples))):
        counts = ", ".join(f"{name or 'unnamed'} ({count})" for name, count in Counter(names).most_common())
        yield f"{what}: {counts}."
    yield ""


def _figures(measured: Measurement | None, calibration: Calibration | None) -> Iterator[str]:
    if measured is None:
        yield "Not evaluated yet: `rewardkit evaluate CONFIG`."
    else:
        yield f"On {measured.n} held-out comparisons with human labels ({measured.n_units} prompts or text groups):"
        yield ""
        for name in ("accuracy", "log_loss", "brier", "auroc"):
            estimate: Estimate | None = getattr(measured, name)
            yield f"- {name.replace('_', ' ')}: {_shown(estimate) if estimate else 'not defined: people decided none'}"
        ece = measured.ece
        band = f"{ece.band_low:.3f} to {ece.band_high:.3f}"
        yield f"- debiased calibration error: {ece.value:.3f} (nine in ten perfectly calibrated models: {band})"
    yield ""
    if calibration is None:
        yield "Not calibrated: it gives rewards, and no probabilities."
    else:
        when, over = (
            calibration.created_at.date(),
            f"{calibration.n} comparisons, {calibration.n_units} prompts or groups",
        )
        yield f"Calibrated on {when} by {calibration.method} on held-out human labels ({over})."
    yield ""


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}, n = {estimate.n})"


def _limits(
    card: RewardModelCard, examples: Sequence[PreferenceExample], calibration: Calibration | None
) -> Iterator[str]:
    yield f"- Longer conversations than {card.config.max_length} tokens: {card.config.too_long.replace('_', ' ')}."
    yield "- It has learned what the annotators above liked. Optimising hard against it finds what they would not have."
    if calibration and calibration.texts:
        texts = calibration.texts.responses
        yield (
            f"- Its probabilities are vouched for responses of {texts.shortest:,} to {texts.longest:,} characters like "
            "those it was calibrated on; rewardkit flags others."
        )
    if any(e.simulated for e in examples):
        yield "- Some labels come from simulated annotators: its figures say nothing about people."
    yield ""
