"""`pairwise.v2`: a preference that may be none, because both responses are as good, or both are bad.

A judge that must choose puts its doubt between two good responses and its refusal of two bad ones into the same half.
Here each has a label of its own, whose probability is kept.
"""

from __future__ import annotations

from rewardkit.judge.contract import Completion, Failure, PairVerdict
from rewardkit.judge.distributions import distribution
from rewardkit.judge.pairwise import LEAST_MASS, PairwiseV1


class PairwiseV2(PairwiseV1):
    """`pairwise.v2`: as `pairwise.v1`, and T for a tie and N where neither response is any good."""

    name = "pairwise.v2"
    # Capital letters are single tokens after a space in the usual vocabularies; words often are not.
    labels = ("A", "B", "T", "N")

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read all four probabilities; half of what says neither counts for each side."""
        found = distribution(completion, self.labels, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        shares = found.probabilities
        p_first = shares["A"] + (shares["T"] + shares["N"]) / 2
        return PairVerdict(min(p_first, 1.0), found.mass_outside, p_tie=shares["T"], p_both_bad=shares["N"])
