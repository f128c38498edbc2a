"""`pairwise-reference.v1`: which response is better, beside an answer that is known to be good.

Zheng et al. 2023 (arXiv:2306.05685, section 3.4) found that a judge errs less where it is shown an answer of its own
or a person's making. The reference comes with the data: as `reference` in the prompt's metadata, or in that of the
comparison, where the column `meta` of an imported row goes.
"""

from __future__ import annotations

from rewardkit.judge.contract import Failure, PairTexts, PairVerdict, Request, Steps
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.prompting import neutralise, pair_slots
from rewardkit.rubric import Rubric
from rewardkit.types import Order

KEY = "reference"


class PairwiseReferenceV1(PairwiseV1):
    """`pairwise-reference.v1`: as `pairwise.v1`, with a reference answer."""

    name = "pairwise-reference.v1"

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask, if there is a reference."""
        if not reference_of(texts):
            return Failure(f"there is no reference answer (metadata.{KEY} of the prompt or of the comparison)")
        return (yield from super().compare(texts, rubric, order))

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better; A names the one shown first."""
        slots = pair_slots(texts, rubric, order)
        system, user = self._prompt.asked({**slots, "reference": neutralise(reference_of(texts))})
        return Request(system, user, self._prompt.sections["prefill"], self.labels)


def reference_of(texts: PairTexts) -> str:
    """Return the reference answer; empty where there is none."""
    found = texts.prompt.metadata.get(KEY) or texts.comparison.metadata.get(KEY)
    return found.strip() if isinstance(found, str) else ""
