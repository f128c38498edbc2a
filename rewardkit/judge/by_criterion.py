"""`pairwise-criteria.v1`: one question for each criterion of the rubric, and a verdict from all of them.

What the criterion says comes last, so that the questions about a comparison share all that comes before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rewardkit.judge.contract import Capability, Failure, PairTexts, PairVerdict, Request, Steps
from rewardkit.judge.distributions import distribution
from rewardkit.judge.pairwise import LEAST_MASS
from rewardkit.judge.prompting import pair_slots, read_prompt
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Order

LEAST_DOUBT = 1e-6
"""A criterion that says less than this of one side says this: in logits one label alone would decide all."""


class PairwiseCriteriaV1:
    """`pairwise-criteria.v1`: of which response is each criterion more true?

    The verdict is the mean of the criteria's logits, weighted as the rubric weighs them. A criterion of negative weight
    speaks for the response of which it is less true. A criterion without an answer leaves no verdict: the others'
    would be one by another rubric.
    """

    name = "pairwise-criteria.v1"
    labels = ("A", "B")
    needs: frozenset[Capability] = frozenset({"labels"})

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask about all criteria that nobody decides by code, at the same time."""
        criteria, slots = rubric.by_weight(), pair_slots(texts, rubric, order)
        answers = yield tuple(self._question(slots, criterion) for criterion in criteria)
        p_firsts, outside = dict[str, float](), 0.0
        for criterion, answer in zip(criteria, answers, strict=True):
            found = distribution(answer, self.labels, LEAST_MASS)
            if isinstance(found, Failure):
                return Failure(f"{criterion.name}: {found.reason}")
            p_firsts[criterion.name] = found.probabilities["A" if criterion.weight > 0 else "B"]
            outside = max(outside, found.mass_outside)
        return PairVerdict(weighted(rubric, p_firsts), outside, criteria=p_firsts)

    def _question(self, slots: Mapping[str, str], criterion: Criterion) -> Request:
        named = {**slots, "criterion": f"{criterion.name}: {criterion.description.strip()}"}
        system, user = self._prompt.asked(named)
        return Request(system, user, self._prompt.sections["prefill"], self.labels)


def weighted(rubric: Rubric, p_firsts: Mapping[str, float]) -> float:
    """Return the mean of probabilities in logit space, weighted by the size of the criteria's weights.

    Args:
        rubric: Whose criteria are meant.
        p_firsts: By criterion: the probability that the first response is the better one for it.
    """
    weights = {criterion.name: abs(criterion.weight) for criterion in rubric.by_weight()}
    whole = sum(weights[name] for name in p_firsts)
    mean = sum(weights[name] * _logit(p_first) for name, p_first in p_firsts.items()) / whole
    return 1.0 / (1.0 + math.exp(-mean))


def _logit(p: float) -> float:
    kept = min(max(p, LEAST_DOUBT), 1.0 - LEAST_DOUBT)
    return math.log(kept) - math.log1p(-kept)
