"""What is measured on held-out comparisons: the reward model, and the baselines that unmask a fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewardkit.calibration.calibrators import CALIBRATORS, Calibration
from rewardkit.calibration.evaluation import Measurement, measure
from rewardkit.errors import DataError
from rewardkit.jobs.learning import MODEL, human_shares
from rewardkit.jobs.rewards import margins
from rewardkit.jobs.stages import Job, given
from rewardkit.types import PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

Array = NDArray[np.float64]


class Level(NamedTuple):
    """How intervals are made: their level, and the seed of the calibration band."""

    confidence: float
    seed: int


@dataclass(frozen=True)
class Predictions:
    """A predictor's probabilities on test comparisons.

    Attributes:
        examples: The comparisons that it has an answer for.
        margins: Its raw margins, (n,).
        p_a: Its calibrated probabilities, (n,).
        note: What to know about it.
    """

    examples: list[PreferenceExample]
    margins: Array
    p_a: Array
    note: str = ""

    @classmethod
    def of(cls, examples: list[PreferenceExample], p_a: Sequence[float]) -> Predictions:
        """Build from probabilities alone; margins are their log odds."""
        known = np.clip(np.asarray(p_a, dtype=np.float64), 1e-12, 1 - 1e-12)
        return cls(examples, np.log(known / (1 - known)), np.asarray(p_a, dtype=np.float64))

    def measurement(self, level: Level) -> Measurement:
        """Measure the probabilities against the humans."""
        return measured(self.examples, self.p_a, level)


@dataclass(frozen=True)
class HeldOut:
    """The comparisons with human labels that the model was not trained on."""

    calibration: list[PreferenceExample]
    test: list[PreferenceExample]


def measured(examples: Sequence[PreferenceExample], p_a: Array, level: Level) -> Measurement:
    """Measure probabilities on examples that humans have labelled."""
    return measure(
        p_a,
        human_shares(examples),
        units=[e.preference.unit for e in examples],
        confidence=level.confidence,
        seed=level.seed,
    )


def model_predictions(model: LoadedModel, calibration: Calibration, test: list[PreferenceExample]) -> Predictions:
    """Score the test comparisons with the trained and calibrated model."""
    scored = margins(model, test, "evaluate: reward model")
    counted = ((scored.dropped, "too long and left out"), (scored.truncated, "with a text that was cut"))
    note = ", ".join(f"{count} {what}" for count, what in counted if count)
    return Predictions(scored.examples, scored.values, calibration.predict_proba(scored.values), note)


def calibrated_alike(
    margin_of: Callable[[list[PreferenceExample], str], tuple[list[PreferenceExample], Array]], data: HeldOut
) -> Predictions | str:
    """Give a baseline the same temperature, fitted on the same comparisons, as the model; or say why not."""
    fitted_on, fit_margins = margin_of(data.calibration, "calibration")
    examples, values = margin_of(data.test, "test")
    if len(fitted_on) < 2 or not examples:
        return f"labels {len(fitted_on)} calibration and {len(examples)} test comparisons: too few"
    try:
        calibrator = CALIBRATORS["temperature"]().fit(fit_margins, human_shares(fitted_on))
    except DataError as error:
        return error.what
    return Predictions(examples, values, calibrator.predict_proba(values))


def longer(examples: list[PreferenceExample], _split: str) -> tuple[list[PreferenceExample], Array]:
    """Longer is better: the margin is the difference of log lengths in characters."""
    return examples, np.array([np.log(len(e.response_a) / len(e.response_b)) for e in examples])


def judge_alone(examples: list[PreferenceExample], _split: str) -> tuple[list[PreferenceExample], Array]:
    """The judges' probabilities, both orders averaged, as logits; where they have labelled."""
    known = [(e, p) for e in examples if (p := e.preference.judge_p_a) is not None]
    p_a = np.clip(np.array([p for _, p in known]), 1e-6, 1 - 1e-6)
    return [e for e, _ in known], np.log(p_a / (1 - p_a))


def shuffled_prompts(examples: Sequence[PreferenceExample], seed: int) -> list[PreferenceExample]:
    """Give every comparison the prompt of another one; empty where all prompts are the same."""
    prompts = sorted({e.prompt for e in examples}, key=str)
    if len(prompts) < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(prompts))
    # A cyclic shift of a random order maps no prompt to itself.
    other = {prompts[order[i]]: prompts[order[i - 1]] for i in range(len(prompts))}
    return [e.model_copy(update={"prompt": other[e.prompt]}) for e in examples]


def baselines(job: Job, data: HeldOut) -> dict[str, Predictions | str]:
    """Compute the baselines that the config asks for; a text says why one cannot be had."""
    ways: dict[str, tuple[str, Callable[[], Predictions | str]]] = {
        "longer": ("longer is better", lambda: calibrated_alike(longer, data)),
        "judge": ("judge alone", lambda: calibrated_alike(judge_alone, data)),
        "untrained": ("untrained model", lambda: calibrated_alike(_untrained(job), data)),
    }
    asked = given(job.config.evaluate).baselines
    return {ways[name][0]: ways[name][1]() for name in asked if name in ways}


def shuffled_predictions(
    model: LoadedModel, calibration: Calibration, test: list[PreferenceExample], seed: int
) -> Predictions | str:
    """Score the test responses under prompts that belong to others; or say why that cannot be done."""
    examples = shuffled_prompts(test, seed)
    if not examples:
        return "all prompts are the same"
    scored = margins(model, examples, "evaluate: shuffled prompts")
    return Predictions(scored.examples, scored.values, calibration.predict_proba(scored.values))


def _untrained(job: Job) -> Callable[[list[PreferenceExample], str], tuple[list[PreferenceExample], Array]]:
    """The same base with the fresh adapters and head that training started from."""
    from rewardkit.reward_model import folder as model_folder

    card = model_folder.read_card(job.output("train", MODEL))
    model = model_folder.create(card.config, seed=card.seed)

    def margin_of(examples: list[PreferenceExample], split: str) -> tuple[list[PreferenceExample], Array]:
        scored = margins(model, examples, f"evaluate: untrained model, {split}")
        return scored.examples, scored.values

    return margin_of
