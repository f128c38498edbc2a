"""What a stage will cost, said before it starts: its tokens at this machine's measured speed.

A rough figure, for deciding whether to wait: tokens are counted from characters, and the model is taken
to reach a share of the machine's speed in one large matrix product. Once a stage has finished,
`--dry-run` tells how long it took instead, and while it runs its progress tells the time left.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rewardkit.errors import UserError
from rewardkit.extras import require
from rewardkit.hardware import device, dtype_of
from rewardkit.models import resolve
from rewardkit.types import PreferenceExample

CHARACTERS_PER_TOKEN = 4.0
# Shares of a large matrix product's speed that were reached by SmolLM2-135M on two cores: a judge reads long requests,
# and what they share once (160 of pandalm's); it writes token by token, many replies at a time (24 thoughts); scoring
# and training go through short texts (benchmarks/reward_throughput.py).
JUDGING, SCORING, LEARNING, WRITING = 0.9, 0.45, 0.25, 0.035
# Operations a token and parameter: a forward pass, and a forward and a backward pass of which LoRA needs
# the gradients of the activations and nearly none of the weights (Kaplan et al. 2020, section 2.1).
FORWARD, TRAINING = 2, 4
PROBE_SECONDS = 0.25
OUTSIDE = ("embed", "lm_head", "wte", "wpe")


@dataclass(frozen=True)
class Work:
    """How much text a stage sends through a model.

    Attributes:
        model: The model's name.
        dtype: The dtype that it computes in, or "auto".
        read: Characters in forward passes only.
        learnt: Characters in forward and backward passes.
        written: Characters of replies, token by token.
        share: Share of the machine's speed at which text is read.
    """

    model: str
    dtype: str
    read: float = 0
    learnt: float = 0
    written: float = 0
    share: float = SCORING

    def seconds(self) -> float | None:
        """Estimate how long it takes on this machine; None where the model is not ready or torch is missing."""
        try:
            parameters = _parameters(resolve(self.model, fetch=False).path)
            speed = matmul_speed(self.dtype) if parameters else 0.0
        except UserError:
            return None
        if not parameters:
            return None
        per_character = parameters / CHARACTERS_PER_TOKEN / speed
        read, written = FORWARD * self.read / self.share, FORWARD * self.written / WRITING
        return per_character * (read + written + TRAINING * self.learnt / LEARNING)


@dataclass(frozen=True)
class Several:
    """What several models do one after the other.

    Attributes:
        works: Of each.
    """

    works: tuple[Work, ...]

    def seconds(self) -> float | None:
        """Estimate how long it takes on this machine; None where one of them cannot be told, or there is none."""
        found = [work.seconds() for work in self.works]
        known = [each for each in found if each is not None]
        return sum(known) if known and len(known) == len(found) else None


def characters(examples: Iterable[PreferenceExample]) -> int:
    """Count the characters of the different texts of some comparisons: a prompt is run once for all its responses."""
    texts = {(e.prompt, response) for e in examples for response in (e.response_a, e.response_b)}
    prompts = {prompt for prompt, _ in texts}
    return sum(len(response) for _, response in texts) + sum(len(m.content) for p in prompts for m in p)


def _parameters(model: Path) -> int:
    """Count the weights that multiply for every token: no embeddings, no head over the vocabulary.

    Returns 0 where there are no weights in safetensors; what is damaged is refused when it is loaded.
    """
    safetensors = require("safetensors", "train")
    total = 0
    for file in model.glob("*.safetensors"):
        try:
            with safetensors.safe_open(file, framework="pt") as weights:
                shapes = [weights.get_slice(name).get_shape() for name in weights.keys() if not _outside(name)]  # noqa: SIM118
        except (OSError, safetensors.SafetensorError):
            return 0
        total += sum(shape[0] * shape[1] for shape in shapes if len(shape) == 2)
    return total


def _outside(name: str) -> bool:
    return any(word in name for word in OUTSIDE)


def matmul_speed(dtype: str) -> float:
    """Measure the operations a second of a large matrix product, in about a quarter of a second.

    Args:
        dtype: The dtype that it is computed in, or "auto".
    """
    torch = require("torch", "train")
    side = 4096 if torch.accelerator.is_available() else 1024
    matrix = torch.ones((side, side), dtype=dtype_of(dtype), device=device())
    repeats, start = 0, time.perf_counter()
    while repeats < 3 or time.perf_counter() - start < PROBE_SECONDS:
        if repeats == 1:
            # The first product also pays for threads and kernels.
            start = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])
        repeats += 1
    return 2.0 * float(side) ** 3 * (repeats - 1) / (time.perf_counter() - start)
