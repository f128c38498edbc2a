"""A trained reward model with its calibration: what answers, in Python, over HTTP and inside a training loop.

It stands above the rooms of the model and of calibration, which do not know each other, and below those that let others
ask: `jobs`, `serving` and `rl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from rewardkit.batching import LARGEST_BATCH
from rewardkit.calibration.calibrators import CALIBRATION_FILE, Calibration
from rewardkit.calibration.estimates import Array
from rewardkit.errors import DataError, ModelError
from rewardkit.extras import require_all
from rewardkit.passages import paragraphs
from rewardkit.types import Message

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel
    from rewardkit.reward_model.scoring import Rewards
    from rewardkit.reward_model.whole_texts import WholeTexts

PromptLike = str | Sequence[Message | Mapping[str, Any]]
"""A prompt: its messages, or the text of one user message; nothing is an empty prompt."""
LEAST_CHARACTERS, MOST_PARAGRAPHS = 120, LARGEST_BATCH - 1
"""A shorter paragraph is explained together with the next one, and neighbours where there are more: with the empty
response all beginnings then are one row."""
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
        disagreement: Standard deviation of the margin between the members of an ensemble; None for one model.
        unlike: How the texts differ from all or nearly all of the calibration's, for which p_a is not vouched.
        truncated: Whether a text was cut to the model's length.
    """

    reward_a: float
    reward_b: float
    p_a: float
    low: float | None
    high: float | None
    n: int
    disagreement: float | None
    unlike: tuple[str, ...]
    truncated: bool

    @property
    def margin(self) -> float:
        """reward_a − reward_b."""
        return self.reward_a - self.reward_b


@dataclass(frozen=True)
class Part:
    """A paragraph of a response.

    Attributes:
        start: Its first character.
        end: The one after its last.
        gain: By how much the reward of what is written up to its end exceeds that of what stands before it.
        criteria: Ratings of what is written up to its end, from 0 to 1, by criterion.
    """

    start: int
    end: int
    gain: float
    criteria: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """Where a reward comes from.

    Attributes:
        reward: Of the whole response: `empty` and all gains together.
        empty: Reward of a response that says nothing.
        criteria: Ratings of the whole, from 0 to 1, by criterion that the model has learned.
        parts: Its paragraphs.
        truncated: Whether the prompt or the response was cut to the model's length: beginnings then answer less or
            more of the prompt than the whole does.
    """

    reward: float
    empty: float
    criteria: dict[str, float]
    parts: tuple[Part, ...]
    truncated: bool


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

    @cached_property
    def whole_texts(self) -> WholeTexts:
        """Reads texts that were rendered with the model's chat template."""
        from rewardkit.reward_model.whole_texts import WholeTexts

        return WholeTexts(self.model.renderer.chat)

    @property
    def members(self) -> int:
        """How many members its ensemble has; 1 for one model."""
        return len(self.model.network.members)

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
        rewards = self._read([prompt, prompt], [a, b], "compare")
        return compared(
            self._calibrated(),
            *rewards.members,
            unlike=[how for text in (a, b) for how in self.unlike(prompt, text)],
            truncated=bool(rewards.truncated.any()),
        )

    def unlike(self, prompt: PromptLike, response: str) -> tuple[str, ...]:
        """Return how a conversation differs from nearly all that the calibration was fitted on; nothing if unknown.

        Such as "response: longer" or "prompt: other words"; see `calibration.likeness`.
        """
        if self.calibration is None or self.calibration.texts is None:
            return ()
        return self.calibration.texts.unlike(messages_of(prompt), response)

    def explain(self, prompt: PromptLike, response: str) -> Explanation:
        """Say where the reward of a response comes from, paragraph by paragraph.

        A causal model reads from the front, so that the reward of a beginning is that of a shorter response; what a
        paragraph adds to it is its gain. All beginnings are one row that is run once.

        Raises:
            DataError: The prompt is neither text nor messages, or the response cannot be read or says nothing.
        """
        found = paragraphs(response, least=LEAST_CHARACTERS, most=MOST_PARAGRAPHS).passages
        if not found:
            raise DataError("the response says nothing", where="explain", expected="a text")
        beginnings = ["", *(response[: each.end] for each in found[:-1]), response]
        rewards = self._read([prompt] * len(beginnings), beginnings, "explain")
        names = [each.name for each in self.model.card.criteria]
        criteria = [dict(zip(names, row, strict=True)) for row in rewards.criteria.tolist()]
        gains = np.diff(rewards.values).tolist()
        told = zip(found, gains, criteria[1:], strict=True)
        return Explanation(
            reward=float(rewards.values[-1]),
            empty=float(rewards.values[0]),
            criteria=criteria[-1],
            parts=tuple(Part(each.start, each.end, gain, level) for each, gain, level in told),
            truncated=bool(rewards.truncated.any()),
        )

    def _read(self, prompts: Sequence[PromptLike], responses: Sequence[str], where: str) -> Rewards:
        """Compute rewards, all of which are needed."""
        rewards = self.score(prompts, responses)
        if reason := next(filter(None, rewards.reasons), ""):
            raise DataError(reason, where=where, expected="texts that the model can read")
        return rewards

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise ModelError("the model is not calibrated", where=str(self.path), fix="rewardkit calibrate CONFIG")
        return self.calibration


def compared(
    calibration: Calibration, first: Array, second: Array, *, unlike: Iterable[str] = (), truncated: bool
) -> Compared:
    """Say what two rewards tell of which response people prefer.

    Args:
        calibration: Margins to probabilities.
        first: Raw reward of the first response by each member, (members,).
        second: Of the second.
        unlike: How the texts differ from the calibration's.
        truncated: Whether a text was cut to the model's length.
    """
    margins = first - second
    margin = float(margins.mean())
    ends = calibration.interval([margin])
    return Compared(
        reward_a=float(first.mean()),
        reward_b=float(second.mean()),
        p_a=float(calibration.predict_proba([margin])[0]),
        low=float(ends[0][0]) if ends else None,
        high=float(ends[1][0]) if ends else None,
        n=calibration.n,
        disagreement=float(margins.std(ddof=1)) if len(margins) > 1 else None,
        unlike=tuple(dict.fromkeys(unlike)),
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
