"""Rewards for prompts and responses: what they share is computed once, by a token budget, in the order asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rewardkit.progress import Advance
from rewardkit.reward_model.folder import LoadedModel
from rewardkit.reward_model.objective import variances
from rewardkit.reward_model.rendering import Rendered, Unrendered
from rewardkit.types import Message


@dataclass(frozen=True)
class Rewards:
    """Rewards of a list of conversations.

    Attributes:
        members: Raw reward of each member of the ensemble, (n, members); NaN only where `dropped`.
        criteria: Rating on each criterion that was learned, the mean over members, (n, criteria), from 0 to 1.
        truncated: Where a text was cut to the model's length, (n,).
        reasons: Why there is no reward, (n,); empty where there is one.
        noise: How far people may be apart about a text, as a standard deviation of its reward, (n,); None for a
            model without a variance head.
    """

    members: NDArray[np.float64]
    criteria: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    reasons: tuple[str, ...]
    noise: NDArray[np.float64] | None = None

    @property
    def values(self) -> NDArray[np.float64]:
        """Raw rewards, the mean over members, (n,)."""
        found: NDArray[np.float64] = self.members.mean(axis=1)
        return found

    @property
    def spread(self) -> NDArray[np.float64]:
        """How far the members are apart: their standard deviation, (n,); 0 for one member."""
        count = self.members.shape[1]
        found: NDArray[np.float64] = self.members.std(axis=1, ddof=1) if count > 1 else np.zeros(len(self.members))
        return found

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
    found = np.full((len(rendered), len(model.network.members), model.card.config.outputs), np.nan)
    places = [i for i, r in enumerate(rendered) if isinstance(r, Rendered)]
    sequences = [r.ids for r in rendered if isinstance(r, Rendered)]
    model.network.eval()
    for batch in model.network.batches(sequences, batch_tokens or model.network.tokens):
        found[[places[i] for i in batch]] = forward(model, [sequences[i] for i in batch])
        if advance:
            advance(len(batch))
    return Rewards(
        members=found[:, :, 0],
        criteria=ratings(model, found),
        truncated=np.array([isinstance(r, Rendered) and r.truncated for r in rendered], dtype=bool),
        reasons=tuple(r.reason if isinstance(r, Unrendered) else "" for r in rendered),
        noise=noise(model, found),
    )


def ratings(model: LoadedModel, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratings that outputs stand for, the mean over members, from 0 to 1.

    Args:
        model: The model.
        outputs: (n, members, outputs), as `forward` gives them.

    Returns:
        (n, criteria).
    """
    mean, spread = (np.array([getattr(each, name) for each in model.card.criteria]) for name in ("mean", "spread"))
    found: NDArray[np.float64] = np.clip(mean + spread * outputs[:, :, 1 : 1 + len(mean)].mean(axis=1), 0.0, 1.0)
    return found


def noise(model: LoadedModel, outputs: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return how far people may be apart, as `Rewards` has it, of outputs as `forward` gives them."""
    if not model.card.config.variance_head:
        return None
    found: NDArray[np.float64] = np.sqrt(variances(torch.from_numpy(outputs)).mean(dim=1).numpy())
    return found


@torch.inference_mode()
def forward(model: LoadedModel, sequences: Sequence[list[int]]) -> NDArray[np.float64]:
    """Return what each member says of encoded conversations.

    Args:
        model: A loaded reward model, in evaluation mode.
        sequences: (n,) token ids, as its renderer gives them.

    Returns:
        (n, members, outputs): raw rewards, criteria in units of their spread (of an untrained model nobody knows that
        yet), and what stands for the variance.
    """
    values: NDArray[np.float64] = model.network(sequences).transpose(0, 1).double().cpu().numpy()
    return values
