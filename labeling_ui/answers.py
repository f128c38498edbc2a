"""What an annotator said, as the page sends it, and the label that it becomes.

The page speaks of the first and the second response, as they were shown; a label speaks of A and B. The
shown order is undone here and nowhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewardkit.types import Choice, Label, Order

Shown = Literal["first", "second", "tie", "both_bad"]
LONGEST_TEXT = 20_000


class Answer(BaseModel):
    """One answer from the page. Nothing in it is trusted beyond its form.

    Attributes:
        choice: Which response is better as shown; None where the annotator cannot judge.
        strength: How much better, 1 (slightly) to 3 (much); only with a preference.
        criteria: The same for single criteria.
        reasons: Quick reasons that were ticked.
        rationale: In the annotator's own words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Shown | None
    strength: Annotated[int, Field(ge=1, le=3)] | None = None
    criteria: dict[Annotated[str, Field(max_length=100)], Shown] = Field(default_factory=dict, max_length=20)
    reasons: tuple[Annotated[str, Field(max_length=100)], ...] = Field((), max_length=20)
    rationale: str = Field("", max_length=LONGEST_TEXT)

    @model_validator(mode="after")
    def _strength_of_a_preference(self) -> Answer:
        if (self.strength is not None) != (self.choice in ("first", "second")):
            raise ValueError("a strength belongs to a preference, and to nothing else")
        return self


def unshown(choice: Shown, order: Order) -> Choice:
    """Return a choice in the comparison's frame."""
    if choice == "tie" or choice == "both_bad":
        return choice
    return "a" if (choice == "first") == (order == "ab") else "b"


def to_label(  # noqa: PLR0913 - keyword-only past the first
    answer: Answer,
    *,
    comparison_id: str,
    annotator_id: str,
    order: Order,
    repeat: int,
    sampling_prob: float,
    seconds: float,
    at: float,
    guideline_version: str | None,
    lease_id: str,
    supersedes: str | None = None,
) -> Label:
    """Return the label of an answer.

    Args:
        answer: What the page sent.
        comparison_id: What was compared.
        annotator_id: By whom.
        order: Which response stood first.
        repeat: 0, or the how manieth time again.
        sampling_prob: Probability with which the item was routed to this annotator.
        seconds: From showing to sending.
        at: Now, in seconds since 1970.
        guideline_version: The guidelines that the annotator had read.
        lease_id: What it was given under; it makes the label different from every other.
        supersedes: The label that it replaces.
    """
    metadata: dict[str, Any] = {"lease": lease_id}
    if answer.reasons:
        metadata["reasons"] = list(answer.reasons)
    return Label.of(
        comparison_id,
        annotator_id,
        status="abstained" if answer.choice is None else "ok",
        choice=None if answer.choice is None else unshown(answer.choice, order),
        strength=answer.strength,
        criteria={name: unshown(choice, order) for name, choice in answer.criteria.items()},
        rationale=answer.rationale,
        order_shown=order,
        repeat=repeat,
        sampling_prob=sampling_prob,
        seconds=max(0.0, seconds),
        guideline_version=guideline_version,
        created_at=datetime.fromtimestamp(at, UTC),
        supersedes=supersedes,
        metadata=metadata,
    )
