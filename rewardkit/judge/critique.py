"""`critique.v1`: a judge that talks: a critique of two responses, which is better, how both do on each criterion.

It is asked one thing after the other in one conversation, so that what it says can be read while it is
written, and a part that cannot be read does not spoil the others. Made for people who check a judge's words
(assisted review); where only labels are wanted, `pairwise.v1` is cheaper and finer.
"""

from __future__ import annotations

import re
from typing import Literal

from rewardkit.judge.contract import Failure, PairTexts
from rewardkit.judge.prompting import anchors, pair_slots, read_prompt, said
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Message, Order

Verdict = Literal["A", "B", "tie"]
MOST_POINTS = 4
EXCERPT = 80
# Nothing may follow the letter but that it is better: "A is worse than B" begins with an A too.
_VERDICT = re.compile(
    r"^\W*(?:(?:the\s+)?(?:better|best)\s+(?:response|one)\s+is\W+|answer\W+|verdict\W+)?(?:response\W+)?(A|B|tie)\b"
    r"[^\w\n]*(?:(?:is|was)\s+(?:the\s+)?(?:better|best)\b(?:\s+(?:one|response))?[^\w\n]*)?(?:\n|\Z)",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_NUMBER = r"[\s*]*[:=][\s*]*(-?\d+(?:\.\d+)?)(?![\d.]*\d|-)"
_LEVELS = re.compile(rf"\bA\b{_NUMBER}.*?\bB\b{_NUMBER}", re.DOTALL)


class CritiqueV1:
    """What is asked, and how the answers are read; A is the response that is shown first."""

    name = "critique.v1"

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def critique_question(self, texts: PairTexts, rubric: Rubric, order: Order) -> tuple[Message, Message]:
        """Begin a conversation: what is there to say of both?"""
        slots = pair_slots(texts, rubric, order)
        system, user = self._prompt.asked(slots)
        return Message(role="system", content=system), Message(role="user", content=user)

    def verdict_question(self) -> Message:
        """Ask which response is better."""
        return Message(role="user", content=self._prompt.fill("verdict", {}))

    def rating_question(self, rubric: Rubric, criterion: Criterion) -> Message:
        """Ask how both do on one criterion, on the rubric's own scale."""
        levels = anchors(criterion, rubric.scale, rubric.scale)
        slots = {"criterion": f"{criterion.name}: {criterion.said}", "anchors": levels}
        return Message(role="user", content=self._prompt.fill("rate", slots))

    def verdict(self, text: str) -> Verdict | Failure:
        """Read which response is better."""
        found = _VERDICT.match(said(text))
        if found is None:
            return Failure(f"no verdict: {said(text).strip()[:EXCERPT]!r}")
        letter = found[1].upper()
        return "A" if letter == "A" else "B" if letter == "B" else "tie"

    def critique(self, text: str) -> list[str]:
        """Read the points, each once; a letter alone is none."""
        lines = [_BULLET.sub("", line).strip() for line in said(text).splitlines()]
        return list(dict.fromkeys(line for line in lines if len(line.split()) > 1))[:MOST_POINTS]

    def levels(self, text: str, scale: tuple[float, float]) -> tuple[float, float] | Failure:
        """Read the ratings of A and of B."""
        found = _LEVELS.search(said(text))
        if found is None:
            return Failure(f"no two numbers: {said(text).strip()[:EXCERPT]!r}")
        first, second = float(found[1]), float(found[2])
        low, high = scale
        if not (low <= first <= high and low <= second <= high):
            return Failure(f"not on the scale {low:g}-{high:g}: A {first:g}, B {second:g}")
        return first, second
