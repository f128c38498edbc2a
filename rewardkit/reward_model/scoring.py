"""Rewards for prompts and responses: what they share is computed once, by a token budget, in the order asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rewardkit.progress import Advance
from rewardkit.reward_model.folder import LoadedModel
from rewardkit.reward_model.rendering import Rendered, Unrendered
from rewardkit.types import Message


@dataclass(frozen=True)
class Rewards:
    """Rewards of a list of conversations.

    Attributes:
        values: Raw rewards, (n,); NaN only where `dropped`.
        truncated: Where a text was cut to the model's length, (n,).
        reasons: Why there is no reward, (n,); empty where there is one.
    """

    values: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    reasons: tuple[str, ...]

    @property
    def dropped(self) -> NDArray[np.bool_]:
        """Where there is no reward, (n,)."""
        return np.array([bool(reason) for reason in self.reasons], dtype=bool)


def reward(
    model: LoadedModel,
    conversations: Sequence[tuple[Sequence[Message], str]],
    *,
    batch_tokens: int | None = None,
    advance: Advance | None = None,
) -> Rewards:
    """Compute the reward of each (prompt, response).

    Args:
        model: A loaded reward model.
        conversations: Prompts and responses.
        batch_tokens: Most tokens in one forward pass; as many as are fast there if absent.
        advance: Called with the number of conversations done.
    """
    rendered = [model.renderer.render(prompt, response) for prompt, response in conversations]
    values = np.full(len(rendered), np.nan)
    places = [i for i, r in enumerate(rendered) if isinstance(r, Rendered)]
    sequences = [r.ids for r in rendered if isinstance(r, Rendered)]
    model.network.eval()
    for batch in model.network.batches(sequences, batch_tokens or model.network.tokens):
        values[[places[i] for i in batch]] = forward(model, [sequences[i] for i in batch])
        if advance:
            advance(len(batch))
    return Rewards(
        values=values,
        truncated=np.array([isinstance(r, Rendered) and r.truncated for r in rendered], dtype=bool),
        reasons=tuple(r.reason if isinstance(r, Unrendered) else "" for r in rendered),
    )


@torch.inference_mode()
def forward(model: LoadedModel, sequences: Sequence[list[int]]) -> NDArray[np.float64]:
    """Return the rewards of encoded conversations.

    Args:
        model: A loaded reward model, in evaluation mode.
        sequences: (n,) token ids, as its renderer gives them.

    Returns:
        Raw rewards, (n,).
    """
    values: NDArray[np.float64] = model.network(sequences).double().cpu().numpy()
    return values
