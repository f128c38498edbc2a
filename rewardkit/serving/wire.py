"""What goes over the wire in rewardkit's own form: POST /v1/rewards and GET /v1/model."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from rewardkit.reward_model.whole_texts import MOST_MESSAGES
from rewardkit.types import SCHEMA_VERSION, Finite, Message, Probability, Record

MOST_TEXTS = 4096
"""Of one request."""

Messages = Annotated[tuple[Message, ...], Field(max_length=MOST_MESSAGES)]
Prompt = Messages | str


class Item(Record):
    """A response to a prompt; no prompt is an empty one."""

    prompt: Prompt = ()
    response: str


class RewardsRequest(Record):
    """Responses to one prompt, or items with a prompt each.

    Attributes:
        model: The model's name; checked where it is given.
        prompt: Messages, or the text of one user message.
        responses: To that prompt.
        items: In their place.
    """

    model: str | None = None
    prompt: Prompt = ()
    responses: tuple[str, ...] | None = Field(None, max_length=MOST_TEXTS)
    items: tuple[Item, ...] | None = Field(None, max_length=MOST_TEXTS)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.responses is None) == (self.items is None):
            raise ValueError("expected either prompt and responses, or items with prompt and response")
        if self.items is not None and self.prompt:
            raise ValueError("beside items there is no prompt: each item has its own")
        return self

    def asked(self) -> list[tuple[Prompt, str]]:
        """Return each prompt with its response."""
        if self.items is not None:
            return [(item.prompt, item.response) for item in self.items]
        return [(self.prompt, response) for response in self.responses or ()]


class Comparison(Record):
    """What two responses to one prompt say by the calibration.

    Attributes:
        p_a: Probability that a person prefers the first.
        low: Lower end of its interval; None where the calibration has none.
        high: Upper end.
        n: Comparisons with human labels that the calibration was fitted on.
        disagreement: Standard deviation of the margin between members; None for one model.
    """

    p_a: Probability
    low: Probability | None
    high: Probability | None
    n: int
    disagreement: Finite | None = None


class RewardsAnswer(Record):
    """Rewards in the order asked.

    Attributes:
        rewards: Raw rewards; null where there is a reason.
        truncated: Where a text was cut to the model's length.
        reasons: Why there is no reward; null where there is one.
        spread: How far the members of an ensemble are apart; null for one model.
        noise: How far people may be apart about each text; null for a model without a variance head.
        criteria: Ratings from 0 to 1 by criterion; null for a model that has learned none.
        unlike: How each text differs from those of the calibration; null where nobody knows.
        comparison: For two responses to a prompt, both with a reward, by a calibrated model.
        tokens: Of all texts.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    rewards: tuple[Finite | None, ...]
    truncated: tuple[bool, ...]
    reasons: tuple[str | None, ...]
    spread: tuple[Finite | None, ...] | None = None
    noise: tuple[Finite | None, ...] | None = None
    criteria: tuple[dict[str, Finite] | None, ...] | None = None
    unlike: tuple[tuple[str, ...], ...] | None = None
    comparison: Comparison | None
    tokens: int


class CalibrationAnswer(Record):
    """How far probabilities can be trusted: what they were fitted on."""

    method: str
    n: int
    n_units: int
    confidence: float
    created_at: datetime


class ModelAnswer(Record):
    """What is served.

    Attributes:
        model: Its name.
        base: Base model and revision.
        max_length: Tokens of a conversation, at most.
        too_long: What happens to a longer one.
        members: Of its ensemble; 1 for one model.
        criteria: On which it rates, too.
        variance_head: Whether its rewards come with `noise`.
        calibration: None for a model that was never calibrated.
        version: Of rewardkit.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    base: str
    max_length: int
    too_long: str
    members: int
    criteria: tuple[str, ...]
    variance_head: bool
    calibration: CalibrationAnswer | None
    version: str
