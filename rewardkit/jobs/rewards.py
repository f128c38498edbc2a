"""Margins of comparisons under a reward model: each different text is scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewardkit.progress import progress
from rewardkit.types import Message, PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

Conversation = tuple[tuple[Message, ...], str]


@dataclass(frozen=True)
class Margins:
    """Margins of the comparisons that could be scored.

    Attributes:
        examples: The comparisons, in order, without those that the length policy drops.
        values: reward_a − reward_b, (n,).
        dropped: Comparisons left out.
        truncated: Comparisons of which a text was cut.
    """

    examples: list[PreferenceExample]
    values: NDArray[np.float64]
    dropped: int
    truncated: int


def margins(model: LoadedModel, examples: Sequence[PreferenceExample], title: str) -> Margins:
    """Score both responses of each comparison; a text that stands in several is scored once."""
    from rewardkit.reward_model.scoring import reward

    pairs = [((e.prompt, e.response_a), (e.prompt, e.response_b)) for e in examples]
    texts: list[Conversation] = list(dict.fromkeys(text for pair in pairs for text in pair))
    place = {text: index for index, text in enumerate(texts)}
    with progress(title, len(texts)) as advance:
        rewards = reward(model, texts, advance=advance)
    rows = np.array([(place[a], place[b]) for a, b in pairs], dtype=int).reshape(-1, 2)
    difference = rewards.values[rows[:, 0]] - rewards.values[rows[:, 1]]
    kept = ~rewards.dropped[rows].any(axis=1)
    return Margins(
        examples=[e for e, keep in zip(examples, kept, strict=True) if keep],
        values=difference[kept],
        dropped=int((~kept).sum()),
        truncated=int(rewards.truncated[rows].any(axis=1).sum()),
    )
