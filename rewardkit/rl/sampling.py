"""Answers of a policy that transformers holds, whatever state the training around it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rewardkit.extras import require


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn.

    Attributes:
        max_new_tokens: Longest answer.
        temperature: Of sampling; the rest of the distribution is left as it is.
        batch: Prompts at a time.
        seed: Of the sampling. The training's own chance is not touched.
    """

    max_new_tokens: int
    temperature: float = 1.0
    batch: int = 32
    seed: int = 0


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
    rendered = [_rendered(tokenizer, prompt) for prompt in prompts]
    # A copy of the side: the trainer's tokenizer is not changed.
    inputs = tokenizer(rendered, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False).to(
        model.device
    )
    made = model.generate(
        **inputs,
        max_new_tokens=drawing.max_new_tokens,
        do_sample=True,
        temperature=drawing.temperature,
        top_k=0,
        top_p=1.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    answers: list[str] = tokenizer.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return answers


def _rendered(tokenizer: Any, prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return str(tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))


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
