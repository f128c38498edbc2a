"""When a judge may answer alone: a threshold on its confidence, fixed on human labels, with a guarantee.

Among the items at or above the threshold the judge agrees with people in 1 − alpha of cases or more, with
probability 1 − delta or more over the draw of the labelled items. The confidence need not be calibrated: a
bad one costs coverage, not the guarantee. Where the labels cannot show it, the judge answers nothing.

The thresholds are tested from the strictest to the laxest, up to the first that fails: to err, the sequence has to
pass the first threshold whose risk is above alpha, which it does with probability delta at most. It runs over all
numbers: between two confidences that were seen nothing changes, so testing at those that were seen is testing
everywhere, and no grid was picked after a look at the data.

A strict threshold selects too few units for any test to pass, so the sequence starts at a count of them; and a judge
whose confidence says little fails early although it is good enough as a whole, so a second sequence starts at half of
the units. Each start brings a share of delta, and a sequence that arrives at the next start adds that one's share to
its own (the fallback procedure). Counts are a matter of confidence alone: while the risk stays above alpha once it is
there, as the threshold falls, the shares that can err add up to delta wherever a start comes to stand. Where the risk
crosses alpha again and again the proof has a gap; in a search over 500 such populations (n = 300, alpha .2, delta .1)
the worst erred in .081 of the draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from rewardkit.calibration.estimates import Array, Estimate, clustered_mean
from rewardkit.calibration.trials import WHERE, checked_items, one_per_unit, one_person
from rewardkit.errors import ConfigError

# The first test is made where half the risk allowed would pass it: at the very first count that can pass at all, one
# disagreement ends the sequence. The second start halves delta for the first. In simulations (n = 500) that cost little
# coverage where confidence tells much (.46 to .43: agreement .71, alpha .2), and gave much where it tells little (.17
# to .88: agreement .79, alpha .25).
FIRST_RISK = 0.5


@dataclass(frozen=True)
class Selection:
    """A threshold on a judge's confidence and what it promises.

    Attributes:
        threshold: The judge answers at this confidence and above; None: it answers nothing.
        coverage: Share of the units that it answers.
        agreement: Agreement with people among those; None where it answers nothing. It was looked at when the
            threshold was chosen: what is promised is 1 − alpha.
        n: Units that the threshold was tested on, one comparison each.
        n_selected: Units among them that the judge answers.
        alpha: Most disagreement among what is answered.
        delta: Most probability, over the draw of the labelled items, that the disagreement is above alpha.
        note: What came out, and why, in words.
    """

    threshold: float | None
    coverage: Estimate
    agreement: Estimate | None
    n: int
    n_selected: int
    alpha: float
    delta: float
    note: str

    def answers(self, confidence: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell for confidences (m,) whether the judge answers; it never does where one is missing (NaN)."""
        given = np.asarray(confidence, dtype=np.float64)
        return np.zeros(given.shape, dtype=bool) if self.threshold is None else given >= self.threshold


def choose_threshold(  # noqa: PLR0913 - keyword-only past the first two
    confidence: npt.ArrayLike,
    agreement: npt.ArrayLike,
    *,
    alpha: float,
    delta: float,
    units: Sequence[str] | None = None,
    grid: npt.ArrayLike | None = None,
    starts: Sequence[int] | None = None,
    seed: int = 0,
) -> Selection:
    """Choose the lowest threshold at which human labels show that a judge agrees often enough.

    The items are a sample of those that the judge will be asked about, and what made its confidence (a calibrator, the
    judge's prompt) was settled without these labels. Comparisons of one unit are no independent
    trials: one of each unit is tested, drawn by hash, so that the promise is about a unit drawn at random and a
    comparison drawn from it. Where people were divided, one of them is drawn by hash: the promise is about agreement
    with one person drawn at random, and a tie counts for half.

    Args:
        confidence: Of the judge, (n,), on any scale, higher is surer; NaN where it gave none: it answers nothing there.
        agreement: Share of people who agree with the judge, (n,), from 0 to 1; not read where confidence is NaN.
        alpha: Most disagreement among what is answered, between 0 and 1.
        delta: Most probability of a broken promise, between 0 and 1.
        units: The unit of each item (its prompt, say), n names; every item is one of its own if absent.
        grid: Thresholds to test, fixed before the labels were seen; every confidence that is seen, if absent.
        starts: Counts of selected units at which sequences of tests start, fixed before the labels were seen; by alpha,
            delta and the number of units if absent.
        seed: Of the hashes.

    Raises:
        ConfigError: alpha or delta is not between 0 and 1, a start is not positive, or the grid is not finite.
        DataError: There is no item, lengths differ, a confidence is infinite, or an agreement is no share.

    Example:
        >>> sure, agreed = [0.9] * 40 + [0.6] * 40, [1.0] * 39 + [0.0] * 21 + [1.0] * 20
        >>> found = choose_threshold(sure, agreed, alpha=0.2, delta=0.1)
        >>> found.threshold, found.n_selected, round(found.agreement.value, 3)
        (0.9, 40, 0.975)

    References:
        Bauer, Multiple testing in clinical trials (1991), for the fixed sequence; Wiens, A fixed sequence Bonferroni
        procedure for testing multiple endpoints (2003), for the fallback.
        Angelopoulos et al., Learn then test (2021), arXiv:2110.01052.
        Jung et al., Trust or escalate (2024), arXiv:2407.18370. Its code answers at the strictest threshold where
        none passes; here nothing is answered then.
    """
    check_promise(alpha, delta)
    sure, agreed, names = checked_items(confidence, agreement, units)
    kept = one_per_unit(np.column_stack([sure, agreed]), names, seed)
    sure, names = sure[kept, 0], [names[i] for i in kept]
    agreed = one_person(agreed[kept], names, seed)[:, 0]
    thresholds = thresholds_to_test(sure, grid)
    counts = np.array([(sure >= threshold).sum() for threshold in thresholds], dtype=np.int64)
    disagreed = np.array([(1 - agreed[sure >= threshold]).sum() for threshold in thresholds], dtype=np.int64)
    last = last_passed(counts, disagreed, alpha=alpha, delta=delta, starts=starts)
    threshold = None if last is None else float(thresholds[last])
    selected = np.zeros(len(sure), dtype=bool) if threshold is None else sure >= threshold
    return Selection(
        threshold=threshold,
        coverage=clustered_mean(selected, names, rate=True),
        agreement=estimate_agreement(agreed, selected, names),
        n=len(sure),
        n_selected=int(selected.sum()),
        alpha=alpha,
        delta=delta,
        note=describe(counts, disagreed, last, alpha=alpha, delta=delta),
    )


def last_passed(
    counts: npt.NDArray[np.int64],
    disagreed: npt.NDArray[np.int64],
    *,
    alpha: float,
    delta: float,
    starts: Sequence[int] | None = None,
) -> int | None:
    """Test thresholds in their order, from each start up to the first that fails.

    The p-value of "the risk is above alpha" is the binomial probability of so few disagreements, or fewer, at alpha.

    Args:
        counts: Selected units at each threshold, (thresholds,), strictest first.
        disagreed: Disagreements among them, (thresholds,).
        alpha: Most disagreement.
        delta: Shared equally among the starts.
        starts: Counts of selected units at which a sequence starts; by alpha, delta and the most units if absent.

    Returns:
        The index of the laxest threshold that passed; None if none did.

    Raises:
        ConfigError: There is no start, or one is not positive.
    """
    most = int(counts.max(initial=0))
    waiting = sorted(_starts(alpha, delta, most) if starts is None else starts)
    if not waiting or waiting[0] < 1:
        raise ConfigError(f"starts: {waiting}", where=WHERE, expected="one count or more, each 1 or more")
    share, level, last = delta / len(waiting), 0.0, None
    for i, p_value in enumerate(binom.cdf(disagreed, counts, alpha).tolist()):
        while waiting and counts[i] >= waiting[0]:
            waiting.pop(0)
            level += share
        if level and p_value <= level:
            last = i
        else:
            level = 0.0
    return last


def _starts(alpha: float, delta: float, most: int) -> list[int]:
    """Return where sequences start by default: at the first useful count, and at half of the units if that is more."""
    counts = np.arange(1, max(most, 1) + 1)
    useful = binom.cdf(np.floor(FIRST_RISK * alpha * counts), counts, alpha) <= delta / 2
    first = int(counts[useful.argmax()]) if useful.any() else len(counts)
    return sorted({first, max(first, math.ceil(most / 2))})


def thresholds_to_test(sure: Array, grid: npt.ArrayLike | None) -> Array:
    """Return the thresholds, strictest first: the grid, or every confidence that is there.

    Raises:
        ConfigError: The grid is empty or not finite.
    """
    given = sure[~np.isnan(sure)] if grid is None else np.asarray(grid, dtype=np.float64)
    if not np.isfinite(given).all() or given.ndim != 1 or (grid is not None and not len(given)):
        raise ConfigError("the grid is empty or not finite", where=WHERE, expected="thresholds: finite numbers")
    return np.unique(given)[::-1]


def check_promise(alpha: float, delta: float) -> None:
    """Refuse an alpha or delta that is no probability.

    Raises:
        ConfigError: One is not between 0 and 1, both excluded.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} is {value}", where=WHERE, expected="a number between 0 and 1, both excluded")


def estimate_agreement(agreed: Array, selected: npt.NDArray[np.bool_], units: Sequence[str]) -> Estimate | None:
    """Return the agreement among the selected, one item of each unit; None where nothing is selected."""
    chosen = [unit for unit, kept in zip(units, selected.tolist(), strict=True) if kept]
    return clustered_mean(agreed[selected], chosen, rate=True) if chosen else None


def describe(
    counts: npt.NDArray[np.int64],
    disagreed: npt.NDArray[np.int64],
    last: int | None,
    *,
    alpha: float,
    delta: float,
) -> str:
    """Say what the sequence of tests found."""
    promise = f"agreement of {1 - alpha:.3g} or more at confidence {1 - delta:.3g}"
    if last is not None:
        return f"{promise}: {counts[last] - disagreed[last]} of {counts[last]} independent comparisons agree"
    most = int(counts.max(initial=0))
    least = math.ceil(math.log(delta) / math.log1p(-alpha))
    known = f"{most} independent labelled comparisons"
    if most < least:
        return f"{promise} cannot be shown: {known}, where {least} are needed even if all agree"
    return f"{promise} cannot be shown on {known}, and nothing is answered"
