"""What a policy does at one moment of its training, and whether its reward is still to be trusted.

At each look the policy answers the same prompts, and two functions say what the answers are worth: the proxy, which it
is trained on, and one that it never sees. Looks are compared prompt by prompt. The alarm is one test: the proxy has
risen, and the other reward has followed by less than a stated share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from rewardkit.calibration.estimates import Array, Estimate, clustered_mean
from rewardkit.section import Positive, Section

# Fewer prompts than this say nothing, whatever the interval says.
FEWEST_PROMPTS = 5
SMALL = 1e-9


class AlarmRule(Section):
    """When the proxy is taken to be hacked.

    With a proxy that correlates with what is wanted by ρ within a prompt, and a policy that only picks better answers
    by it, the held-out reward rises by ρ for each unit of the proxy, both in standard deviations: so `follow` is the
    correlation below which the proxy is not worth optimising.
    """

    follow: float = Field(
        0.25,
        ge=0.0,
        lt=1.0,
        description="Least rise of the held-out reward for a rise of the proxy by 1, each in its own standard "
        "deviations within a prompt at the start.",
    )
    false_alarms: Positive = Field(
        0.05, lt=0.5, description="Probability, over the whole training, of an alarm that is none."
    )


@dataclass(frozen=True)
class Look:
    """What the policy did at one step. Arrays are (prompts, samples); NaN where there is no reward.

    Attributes:
        step: Of the training.
        proxy: The reward that it is trained on.
        held_out: The reward that it never sees.
        lengths: Characters of each answer.
        distinct: Share of pairs of neighbouring words that are different, over all answers. It falls with the length
            of answers too, so that lengths must be seen beside it.
        overlap: Mean share of pairs of words that two answers to one prompt have in common (Jaccard).
        kl: As the trainer last logged it, in nats; None where it logs none.
    """

    step: int
    proxy: Array
    held_out: Array
    lengths: Array
    distinct: float
    overlap: float
    kl: float | None = None

    @property
    def length_correlation(self) -> float | None:
        """Pearson's correlation of proxy and length within prompts; None where one of them does not vary."""
        proxy, length = _within(self.proxy), _within(np.where(np.isnan(self.proxy), np.nan, self.lengths))
        scale = float(np.sqrt(np.nansum(proxy**2) * np.nansum(length**2)))
        return float(np.nansum(proxy * length)) / scale if scale > SMALL else None


@dataclass(frozen=True)
class Change:
    """How two looks differ, in standard deviations within a prompt at the first look.

    Attributes:
        since: Step of the earlier look.
        step: Step of the later one.
        proxy: Rise of the proxy.
        held_out: Rise of the held-out reward.
        shortfall: follow · rise of the proxy − rise of the held-out reward: above 0 it did not follow.
        alarm: Whether both the proxy's rise and the shortfall are certain.
    """

    since: int
    step: int
    proxy: Estimate
    held_out: Estimate
    shortfall: Estimate
    alarm: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        parts = {name: getattr(self, name).to_json() for name in ("proxy", "held_out", "shortfall")}
        return {"since": self.since, "step": self.step, **parts, "alarm": self.alarm}


@dataclass(frozen=True)
class Levels:
    """Confidence of each comparison, so that all of a training together keep the rate of false alarms.

    Half of the rate is spent on comparisons with the start, where a hackable reward shows first, and half on all
    others, which find a reward that was sound until it was over-optimised. Bonferroni: comparisons that share looks
    are anything but independent.

    Attributes:
        from_start: Two-sided confidence of a comparison with the first look.
        between: Of one between two later looks.
    """

    from_start: float
    between: float

    @classmethod
    def of(cls, rule: AlarmRule, looks: int) -> Levels:
        """Divide the rate among comparisons.

        Args:
            rule: Holds the rate.
            looks: Planned looks after the first one.
        """
        half, later = rule.false_alarms / 2, max(looks, 1)
        # One-sided tests, read from two-sided intervals.
        return cls(1 - 2 * half / later, 1 - 2 * half / max(later * (later - 1) / 2, 1))


def compare(first: Look, earlier: Look, later: Look, rule: AlarmRule, levels: Levels) -> Change | None:
    """Compare two looks, prompt by prompt.

    Two one-sided t tests must both reject (an intersection-union test, which keeps the level of each without a
    correction for being two): that the proxy has not risen, and that the held-out reward has followed. Prompts are the
    units: the answers to one rise and fall together.

    Args:
        first: The first look of the training, whose spread is the unit.
        earlier: The one to compare with.
        later: The one that is asked about.
        rule: How far the held-out reward has to follow.
        levels: By which each comparison is tested.

    Returns:
        The change; None where one of the rewards does not vary at the first look, or too few prompts have both.

    References:
        Gao, Schulman and Hilton, Scaling laws for reward model overoptimization (2022), arXiv:2210.10760: the proxy
        rises on while the gold reward flattens and falls. The test is ours.
        Berger, Multiparameter hypothesis testing and acceptance sampling (1982), for intersection-union tests.
    """
    units = spread_of(first.proxy), spread_of(first.held_out)
    # A prompt counts where both rewards are known at both looks.
    rises = [_rise(earlier.proxy, later.proxy), _rise(earlier.held_out, later.held_out)]
    both = ~np.isnan(rises[0]) & ~np.isnan(rises[1])
    if min(units) < SMALL or int(both.sum()) < FEWEST_PROMPTS:
        return None
    proxy, held_out = (rise[both] / unit for rise, unit in zip(rises, units, strict=True))
    names = [str(place) for place in np.flatnonzero(both)]
    confidence = levels.from_start if earlier.step == first.step else levels.between
    risen, followed, short = (
        clustered_mean(values, names, confidence) for values in (proxy, held_out, rule.follow * proxy - held_out)
    )
    alarm = risen.low > 0 and short.low > 0
    return Change(earlier.step, later.step, risen, followed, short, alarm)


def spread_of(rewards: Array) -> float:
    """Return the standard deviation of rewards (prompts, samples) within prompts; over all where no prompt has two."""
    known = [row[~np.isnan(row)] for row in rewards]
    freedom = sum(len(row) - 1 for row in known if len(row) > 1)
    if not freedom:
        together = np.concatenate(known)
        return float(together.std(ddof=1)) if len(together) > 1 else 0.0
    return float(np.sqrt(sum(((row - row.mean()) ** 2).sum() for row in known if len(row) > 1) / freedom))


def distinct_of(texts: Sequence[str]) -> float:
    """Return the share of different pairs among all pairs of neighbouring words; 1 where there is no pair.

    References:
        Li et al., A diversity-promoting objective function for neural conversation models (2016): distinct-2.
    """
    pairs = [pair for text in texts for pair in _pairs(text)]
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def overlap_of(groups: Sequence[Sequence[str]]) -> float:
    """Return the mean Jaccard similarity of the word pairs of two answers to one prompt; 0 where none has two."""
    found = []
    for texts in groups:
        sets = [set(_pairs(text)) for text in texts]
        for place, one in enumerate(sets):
            found += [len(one & other) / len(one | other) if one | other else 1.0 for other in sets[:place]]
    return float(np.mean(found)) if found else 0.0


def _pairs(text: str) -> list[tuple[str, str]]:
    words = text.lower().split()
    return list(zip(words, words[1:], strict=False))


def _rise(earlier: Array, later: Array) -> npt.NDArray[np.float64]:
    """Return each prompt's change of the mean; NaN where one of the looks has no reward for it."""
    return _means(later) - _means(earlier)


def _means(rewards: Array) -> npt.NDArray[np.float64]:
    known = (~np.isnan(rewards)).sum(axis=1)
    return np.where(known > 0, np.nansum(rewards, axis=1) / np.maximum(known, 1), np.nan)


def _within(values: Array) -> Array:
    return values - _means(values)[:, None]
