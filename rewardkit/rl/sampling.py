"""Answers of a policy that transformers holds, whatever state the training around it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rewardkit.extras import require

LONGEST = 256
"""Tokens of an answer where nobody says how long it may be."""
PLAIN: Mapping[str, Any] = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
"""Leaves a distribution as it is, whatever the model's own generation_config wishes."""
TRAINED_WITH = ("top_k", "top_p", "min_p", "repetition_penalty")
"""What TRL's arguments say of its own sampling, `generation_kwargs` apart."""


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn.

    Attributes:
        max_new_tokens: Longest answer.
        temperature: Of sampling.
        batch: Prompts at a time.
        seed: Of the sampling. The training's own chance is not touched.
        options: Further arguments of `generate`; without any the rest of the distribution is left as it is.
        template: Arguments of the chat template.
    """

    max_new_tokens: int
    temperature: float = 1.0
    batch: int = 32
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def as_trained(cls, args: Any, **own: Any) -> Drawing:
        """Return how TRL's trainer draws.

        Args:
            args: Its arguments.
            own: What is chosen otherwise; nothing counts as not chosen.
        """
        said = {name: getattr(args, name, None) for name in TRAINED_WITH}
        options = {name: value for name, value in said.items() if value is not None}
        options |= getattr(args, "generation_kwargs", None) or {}
        trained: dict[str, Any] = {
            "max_new_tokens": getattr(args, "max_completion_length", None) or LONGEST,
            "temperature": options.pop("temperature", None) or getattr(args, "temperature", None) or 1.0,
            "options": options,
            "template": getattr(args, "chat_template_kwargs", None) or {},
        }
        return cls(**trained | {name: value for name, value in own.items() if value is not None})


Sampler = Callable[[Any, Any, Sequence[Any], Drawing], Sequence[str]]
"""(model, tokenizer, prompts, drawing) to one answer each; a prompt that is asked for four times stands there so."""


def sample(model: Any, tokenizer: Any, prompts: Sequence[Any], drawing: Drawing) -> list[str]:
    """Draw one answer to each prompt, text or messages.

    Works where one process holds the whole policy; for one that is cut over processes, or sampled by a server, pass
    a sampler of your own to the monitor.
    """
    torch = require("torch", "train")
    texts: list[str] = []
    with _at_rest(model), torch.inference_mode(), _own_chance(torch, model, drawing.seed):
        for start in range(0, len(prompts), drawing.batch):
            texts += _answers(model, tokenizer, prompts[start : start + drawing.batch], drawing)
    return texts


def _answers(model: Any, tokenizer: Any, prompts: Sequence[Any], drawing: Drawing) -> list[str]:
    ids = [_ids(tokenizer, prompt, drawing) for prompt in prompts]
    # A copy of the side: the trainer's tokenizer is not changed.
    inputs = tokenizer.pad({"input_ids": ids}, return_tensors="pt", padding_side="left").to(model.device)
    how = {**PLAIN, "max_new_tokens": drawing.max_new_tokens, "temperature": drawing.temperature, **drawing.options}
    made = model.generate(**inputs, do_sample=True, pad_token_id=tokenizer.pad_token_id, **how)
    answers: list[str] = tokenizer.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return answers


def _ids(tokenizer: Any, prompt: Any, drawing: Drawing) -> list[int]:
    """Return a prompt's ids as TRL makes them: a text with what the tokenizer adds to texts, messages without."""
    if isinstance(prompt, str):
        return list(tokenizer(prompt).input_ids)
    shown = tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True, **drawing.template)
    return list(tokenizer(shown, add_special_tokens=False).input_ids)


@contextmanager
def _at_rest(model: Any) -> Iterator[None]:
    """Switch dropout and checkpointing off for a while."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _own_chance(torch: Any, model: Any, seed: int) -> Iterator[None]:
    """Draw from a seed of its own, so that a training with a monitor is the training without it."""
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
