"""vLLM's pooling endpoints for a model with one label: POST /classify and POST /pooling.

`use_activation: true` asks for sigmoid(reward), false for the raw reward. Absent, the reward is raw: vLLM then applies
the activation of the model's own kind, which for `problem_type` "regression", as which rewardkit makes its models, is
none. (A model with one label and no problem_type gets a sigmoid there.)

References:
    vllm/entrypoints/pooling/classify/protocol.py, pooling/protocol.py, base/protocol.py;
    vllm/model_executor/layers/pooler/activations.py.
"""

from __future__ import annotations

import math
import time
import uuid
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from rewardkit.reward_model.whole_texts import Conversation, Whole
from rewardkit.serving.wire import MOST_TEXTS, Messages
from rewardkit.types import Finite, Record

LABEL = "LABEL_0"
"""What transformers call the only label of a model whose labels have no names."""
UNSUPPORTED = (
    "truncate_prompt_tokens",
    "chat_template",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "dimensions",
)
"""Fields that change the answer there, and that this server does not follow."""


class PoolingRequest(BaseModel):
    """Whole texts, or the messages of one conversation; fields that change no reward are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model: str | None = None
    input: str | tuple[str, ...] | None = Field(None)
    messages: Messages | None = None
    use_activation: bool | None = Field(None, validation_alias=AliasChoices("use_activation", "activation", "softmax"))
    encoding_format: Literal["float"] = "float"
    task: Literal["classify"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        if isinstance(data, dict) and (given := [name for name in UNSUPPORTED if data.get(name)]):
            raise ValueError(f"{given[0]} is not supported: the model cuts and renders as it was trained")
        return data

    @field_validator("input")
    @classmethod
    def _not_too_many(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, tuple) and len(value) > MOST_TEXTS:
            raise ValueError(f"{len(value)} texts: expected {MOST_TEXTS} at most")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.input is None) == (self.messages is None):
            raise ValueError("expected either input (a text or texts) or messages")
        if self.messages is not None and (not self.messages or self.messages[-1].role != "assistant"):
            raise ValueError("the last of the messages is not the assistant's: there is nothing to reward")
        return self

    def asked(self) -> list[Whole | Conversation]:
        """Return what is to be rewarded."""
        if self.messages is not None:
            return [(self.messages[:-1], self.messages[-1].content)]
        return [Whole(text) for text in ((self.input,) if isinstance(self.input, str) else self.input or ())]

    def shown(self, reward: float) -> float:
        """Return a reward as it was asked for."""
        return sigmoid(reward) if self.use_activation else reward


class Usage(Record):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class Classified(Record):
    """One text's answer of /classify."""

    index: int
    label: str = LABEL
    probs: tuple[Finite]
    num_classes: int = 1


class Pooled(Record):
    """One text's answer of /pooling, of shape (1,)."""

    index: int
    object: Literal["pooling"] = "pooling"
    data: tuple[Finite]


class PoolingAnswer(Record):
    """The answer of either."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: tuple[Classified, ...] | tuple[Pooled, ...]
    usage: Usage


def classified(model: str, values: tuple[float, ...], tokens: int) -> PoolingAnswer:
    """Return the answer of /classify."""
    data = tuple(Classified(index=i, probs=(value,)) for i, value in enumerate(values))
    return PoolingAnswer(**_head("classify", model, tokens), data=data)


def pooled(model: str, values: tuple[float, ...], tokens: int) -> PoolingAnswer:
    """Return the answer of /pooling."""
    data = tuple(Pooled(index=i, data=(value,)) for i, value in enumerate(values))
    return PoolingAnswer(**_head("pool", model, tokens), data=data)


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(−x)), for every x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _head(kind: str, model: str, tokens: int) -> dict[str, Any]:
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    return {"id": f"{kind}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model, "usage": usage}
