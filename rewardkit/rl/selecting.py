"""Best of n and rejection sampling: of several responses to a prompt, those to train on.

Rewards come in, places come out, and places become rows that trainers read: the best responses to learn from
(prompt, completion), or a better and a worse one (prompt, chosen, rejected).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from rewardkit.section import Section

Row = dict[str, Any]
Form = Literal["sft", "pairs"]


class Selecting(Section):
    """What is kept of each prompt's responses."""

    form: Form = Field("sft", alias="as", description="sft: the best responses; pairs: the best and the worst one.")
    n: int | None = Field(None, ge=1, description="Look at the first n responses only; all if absent.")
    keep: int = Field(1, ge=1, description="How many of the best are kept.")
    at_least: float | None = Field(None, description="Keep none whose reward is lower.")
    min_gap: float = Field(0.0, ge=0.0, description="With pairs: least difference of the two rewards.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.form == "pairs" and (self.keep > 1 or self.n == 1):
            raise ValueError("pairs: a pair is the best and the worst of two or more; keep is 1")
        if self.form == "sft" and self.min_gap:
            raise ValueError("min_gap: only pairs have a gap")
        return self

    @property
    def best_of(self) -> bool:
        """Whether exactly the best of n is learnt from, of which something is known about the KL."""
        return self.form == "sft" and self.keep == 1 and self.at_least is None


@dataclass(frozen=True)
class Selected:
    """What is kept of one prompt's responses.

    Attributes:
        kept: Places of the responses that are kept, best first.
        worst: Place of the worst one; None where it is not asked for.
        n: Responses with a reward.
        tied: Whether chance (their order) decided: responses that are out have the reward of one that is in.
    """

    kept: tuple[int, ...]
    worst: int | None
    n: int
    tied: bool


def select(rewards: npt.ArrayLike, how: Selecting) -> Selected | str:
    """Choose among the responses to one prompt; of equal rewards the earlier response is taken.

    Args:
        rewards: (responses,); NaN where a response could not be read, which is neither kept nor the worst.
        how: What is kept.

    Returns:
        The choice, or the reason why nothing is kept.
    """
    values = np.asarray(rewards, dtype=np.float64)[: how.n]
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return "no response has a reward"
    order = known[np.argsort(-values[known], kind="stable")]
    if how.at_least is not None:
        order = order[values[order] >= how.at_least]
        if not len(order):
            return f"no reward is {how.at_least:g} or more (the greatest is {values[known].max():.4g})"
    kept = order[: how.keep]
    if how.form == "pairs":
        return _pair(values, int(kept[0]), known, how.min_gap)
    tied = bool((values[order[how.keep :]] == values[kept[-1]]).any())
    return Selected(tuple(map(int, kept)), None, len(known), tied)


def _pair(values: npt.NDArray[np.float64], best: int, known: npt.NDArray[np.intp], min_gap: float) -> Selected | str:
    worst = int(known[np.argmin(values[known])])
    gap = values[best] - values[worst]
    if len(known) < 2:
        return "only one response has a reward"
    if gap == 0:
        return "all rewards are the same"
    if gap < min_gap:
        return f"the best and the worst differ by {gap:.4g}, less than {min_gap:g}"
    tied = int((values[known] == values[best]).sum()) > 1 or int((values[known] == values[worst]).sum()) > 1
    return Selected((best,), worst, len(known), tied)


def rows_of(prompt: Any, responses: Sequence[str], rewards: Sequence[float], chosen: Selected) -> list[Row]:
    """Build the rows to train on: texts where the prompt is text, messages where it is messages."""

    def said(place: int) -> Any:
        text = responses[place]
        return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]

    asked, best = {"prompt": prompt}, chosen.kept[0]
    if chosen.worst is None:
        return [{**asked, "completion": said(place), "reward": rewards[place], "n": chosen.n} for place in chosen.kept]
    pair = {"chosen": said(best), "rejected": said(chosen.worst)}
    gained = {"reward_chosen": rewards[best], "reward_rejected": rewards[chosen.worst]}
    return [{**asked, **pair, **gained, "n": chosen.n}]


def kl_upper_bound(n: int) -> float:
    """Return log n − (n − 1)/n, in nats: an upper bound on how far best-of-n is from the policy that was sampled.

    It is reached where no two responses have the same reward and none is likely to come twice; where responses repeat,
    as a policy grows sure of itself, the true KL is smaller. Of the best k > 1, of thresholds and of a policy that is
    trained on what was selected it says nothing.

    References:
        Beirami et al., Theoretical guarantees on the best-of-n alignment policy (2024), arXiv:2401.01879, theorem 1.
    """
    return math.log(n) - (n - 1) / n
