"""A trained reward model with its calibration: what answers, in Python, over HTTP and inside a training loop.

It stands above the rooms of the model and of calibration, which do not know each other, and below those that let others
ask: `jobs`, `serving` and `rl`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from rewardkit.calibration.calibrators import CALIBRATION_FILE, Calibration
from rewardkit.errors import DataError, ModelError
from rewardkit.extras import require_all
from rewardkit.types import Message

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel
    from rewardkit.reward_model.scoring import Rewards

PromptLike = str | Sequence[Message | Mapping[str, Any]]
"""A prompt: its messages, or the text of one user message; nothing is an empty prompt."""
_MESSAGES = TypeAdapter(tuple[Message, ...])


@dataclass(frozen=True)
class Compared:
    """What a reward model says about two responses.

    Attributes:
        reward_a: Raw reward of the first response.
        reward_b: Of the second.
        p_a: Probability that a person prefers the first, by the calibration.
        low: Lower end of the interval of p_a that comes of the calibration's own; None where that has none.
        high: Its upper end.
        n: Comparisons with human labels that the calibration was fitted on.
        truncated: Whether a text was cut to the model's length.
    """

    reward_a: float
    reward_b: float
    p_a: float
    low: float | None
    high: float | None
    n: int
    truncated: bool

    @property
    def margin(self) -> float:
        """reward_a − reward_b."""
        return self.reward_a - self.reward_b


class RewardModel:
    """A trained reward model with its calibration.

    Args:
        model: Network, tokenizer and renderer.
        calibration: Margins to probabilities; None for a model that was never calibrated.
        path: Its folder.

    Example:
        >>> model = RewardModel.load("runs/poems/train/model")  # doctest: +SKIP
        >>> model.compare("A limerick about rain.", "There once was …", "It rains.").p_a  # doctest: +SKIP
        0.83
    """

    def __init__(self, model: LoadedModel, calibration: Calibration | None, path: Path) -> None:
        self.model, self.calibration, self.path = model, calibration, path

    @classmethod
    def load(cls, path: str | Path) -> RewardModel:
        """Load a reward model's folder, as `rewardkit train` and `calibrate` write it.

        Raises:
            ModelError: The folder is no reward model, or cannot answer here as it was trained.
            MissingExtraError: A package of the extra `train` is not installed.
        """
        require_all("train")
        from rewardkit.reward_model import folder

        path = Path(path)
        model = folder.load(path)
        return cls(model, Calibration.load(path) if (path / CALIBRATION_FILE).exists() else None, path)

    def score(self, prompts: Sequence[PromptLike], responses: Sequence[str]) -> Rewards:
        """Compute the reward of each response to its prompt.

        Args:
            prompts: (n,) prompts.
            responses: (n,) texts.

        Returns:
            Rewards in the order asked; a conversation that cannot be read has a reason and no reward.

        Raises:
            DataError: The two are not as many, a prompt is neither text nor messages, or a response no text.
        """
        from rewardkit.reward_model.scoring import reward

        if len(prompts) != len(responses):
            expected = "one prompt for each response"
            raise DataError(f"{len(prompts)} prompts and {len(responses)} responses", where="score", expected=expected)
        if kinds := {type(each).__name__ for each in responses if not isinstance(each, str)}:
            raise DataError(f"a response is of the type {min(kinds)}", where="score", expected="text")
        conversations = zip(map(messages_of, prompts), responses, strict=True)
        return reward(self.model, list(conversations))

    def compare(self, prompt: PromptLike, a: str, b: str) -> Compared:
        """Say with what probability a person prefers the first of two responses.

        Raises:
            DataError: The prompt is neither text nor messages, or a text cannot be read.
            ModelError: The model was never calibrated.
        """
        rewards = self.score([prompt, prompt], [a, b])
        if reason := next(filter(None, rewards.reasons), ""):
            raise DataError(reason, where="compare", expected="two texts that the model can read")
        first, second = rewards.values.tolist()
        return compared(self._calibrated(), first, second, truncated=bool(rewards.truncated.any()))

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise ModelError("the model is not calibrated", where=str(self.path), fix="rewardkit calibrate CONFIG")
        return self.calibration


def compared(calibration: Calibration, first: float, second: float, *, truncated: bool) -> Compared:
    """Say what two rewards tell of which response people prefer.

    Args:
        calibration: Margins to probabilities.
        first: Raw reward of the first response.
        second: Of the second.
        truncated: Whether a text was cut to the model's length.
    """
    low, high = (float(end[0]) for end in calibration.interval([first - second]) or ([np.nan], [np.nan]))
    return Compared(
        reward_a=first,
        reward_b=second,
        p_a=float(calibration.predict_proba([first - second])[0]),
        low=None if np.isnan(low) else low,
        high=None if np.isnan(high) else high,
        n=calibration.n,
        truncated=truncated,
    )


def messages_of(prompt: PromptLike | None) -> tuple[Message, ...]:
    """Read a prompt.

    Raises:
        DataError: It is neither text nor a list of messages.
    """
    if prompt is None or prompt == "":
        return ()
    if isinstance(prompt, str):
        return (Message(role="user", content=prompt),)
    try:
        return _MESSAGES.validate_python(prompt)
    except ValidationError as error:
        raise DataError(
            "the prompt is neither text nor a list of messages with role and content",
            expected='text, or [{"role": "user", "content": "…"}]',
        ) from error
