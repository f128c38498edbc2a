"""OpenRLHF's remote reward model: POST /get_reward.

It sends `query` (prompt and response as one text, control tokens included), `prompts` and `labels`, and asks `rewards`.
Since May 2025 it reads `scores` (for dynamic filtering) and `extra_logs` beside them, before that `rewards` alone. With
more servers than texts it sends empty lists to some.

References:
    openrlhf/utils/agent.py (since January 2026), openrlhf/utils/remote_rm_utils.py (before), openrlhf/cli/serve_rm.py.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewardkit.reward_model.whole_texts import Whole
from rewardkit.serving.vllm import sigmoid
from rewardkit.serving.wire import MOST_TEXTS
from rewardkit.types import Finite, Record


class GetRewardRequest(BaseModel):
    """Whole texts; what else a version of OpenRLHF sends is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    query: tuple[str, ...] = Field(max_length=MOST_TEXTS)
    prompts: tuple[str, ...] | None = Field(None, max_length=MOST_TEXTS)
    labels: Any = None

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.prompts and len(self.prompts) != len(self.query):
            raise ValueError(
                f"{len(self.prompts)} prompts for {len(self.query)} texts of query: expected as many, or none"
            )
        return self

    def asked(self) -> list[Whole]:
        """Return the texts, with what each begins with where that is told."""
        prompts = self.prompts or ("",) * len(self.query)
        return [Whole(text, prompt) for text, prompt in zip(self.query, prompts, strict=True)]


class GetRewardAnswer(Record):
    """Raw rewards, and what dynamic filtering wants of them: numbers from 0 to 1.

    It keeps the prompts whose mean score lies between two bounds, 0 and 1 if nobody says otherwise, so that raw rewards
    would drop whatever is below 0.
    """

    rewards: tuple[Finite, ...]
    scores: tuple[Finite, ...]
    extra_logs: dict[str, tuple[float, ...]] = {}

    @classmethod
    def of(cls, rewards: tuple[float, ...]) -> Self:
        """Return the answer that tells these rewards."""
        return cls(rewards=rewards, scores=tuple(map(sigmoid, rewards)))
