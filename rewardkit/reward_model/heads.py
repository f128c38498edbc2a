"""Where a model's rewards come out: a causal model's `score`, or an encoder's classifier with what stands before it.

A causal model is read at the last token, an encoder as its own class reads it (at the first token, or the mean). What
the classifier of an encoder stands on is as fresh as itself where the base was never trained for one: both are trained
and saved whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ENCODERS = {
    "BertForSequenceClassification": ("bert.pooler", "classifier"),
    "ModernBertForSequenceClassification": ("head", "classifier"),
}
"""Their classes, and which of their modules are trained whole; the last has the outputs."""
SPARED = sorted({"score"}.union(*ENCODERS.values()))
"""Names of heads, whatever the model: they are never in fewer bits."""
PAIR_TEMPLATE = (
    "{{ cls_token }}{% for m in messages %}{% if messages | length > 2 %}{{ m['role'] }}: {% endif %}"
    "{{ m['content'] }}{{ sep_token }}{% endfor %}"
)
"""How an encoder whose tokenizer has no chat template reads a conversation: the parts one after the other."""


@dataclass(frozen=True)
class Head:
    """The modules of a model that are trained whole, in float32.

    Attributes:
        names: Of the modules, from the root; the last is a linear layer that has the outputs.
        encoder: Whether the model reads in both directions.
    """

    names: tuple[str, ...]
    encoder: bool

    @property
    def output(self) -> str:
        """Name of the linear layer that has the outputs."""
        return self.names[-1]

    def saved(self) -> list[str]:
        """Return the names by which peft finds the modules."""
        return [name.rpartition(".")[2] for name in self.names]


def head_of(model: Any) -> Head | None:
    """Return the head of a sequence-classification model; None for a class that is not known."""
    names = ENCODERS.get(type(model).__name__)
    if names is not None:
        return Head(names, encoder=True)
    return Head(("score",), encoder=False) if hasattr(model, "score") else None


def in_float32(model: nn.Module, head: Head) -> None:
    """Let the head compute in float32, whatever comes in."""
    for name in head.names:
        model.get_submodule(name).float().register_forward_pre_hook(_as_float)


def _as_float(_: nn.Module, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (states[0].to(torch.float32), *states[1:])
