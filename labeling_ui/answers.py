"""What an annotator said, as the page sends it: one form for each kind of task.

Nothing in an answer is trusted beyond its form. It speaks of responses by the place at which they were
shown ("1", "2", …); `labeling_ui.recording` turns places back into responses.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Shown = Literal["first", "second", "tie", "both_bad"]
Place = Annotated[str, Field(pattern=r"^[1-8]$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Values = Annotated[dict[Name, Annotated[float, Field(allow_inf_nan=False)] | None], Field(max_length=20)]
"""Ratings by criterion; None for one that cannot be judged."""
LONGEST_NOTE = 20_000
LONGEST_EDIT = 300_000


class Form(BaseModel):
    """Base of all that the page sends: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Form):
    """A passage of a response, and what is good or bad about it.

    Attributes:
        response: The place of the response.
        start: Where the passage begins in the text as it was shown, in characters.
        end: Where it ends.
        quote: The passage.
        sign: Whether it speaks for the response or against it.
        note: Why.
    """

    response: Place
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    quote: str = Field(min_length=1, max_length=5_000)
    sign: Literal["good", "bad"]
    note: str = Field("", max_length=2_000)


class BaseAnswer(Form):
    """What every kind of answer may hold.

    Attributes:
        reasons: Quick reasons that were ticked.
        rationale: In the annotator's own words.
        spans: Passages that were marked.
        edits: Responses that were made better: place and the new text.
    """

    reasons: tuple[Name, ...] = Field((), max_length=20)
    rationale: str = Field("", max_length=LONGEST_NOTE)
    spans: tuple[Span, ...] = Field((), max_length=50)
    edits: dict[Place, Annotated[str, Field(max_length=LONGEST_EDIT)]] = Field(default_factory=dict)


class ComparisonAnswer(BaseAnswer):
    """Which of two responses is better.

    Attributes:
        choice: As shown; None where the annotator cannot judge.
        strength: How much better, 1 (slightly) to 3 (much); only with a preference.
        criteria: The same for single criteria.
        ratings: Of each place, the values of single criteria on the rubric's scale.
    """

    task: Literal["comparison"] = "comparison"
    choice: Shown | None
    strength: Annotated[int, Field(ge=1, le=3)] | None = None
    criteria: dict[Name, Shown] = Field(default_factory=dict, max_length=20)
    ratings: dict[Place, Values] = Field(default_factory=dict)

    @property
    def abstains(self) -> bool:
        """Whether nothing could be judged."""
        return self.choice is None

    @model_validator(mode="after")
    def _strength_of_a_preference(self) -> ComparisonAnswer:
        if (self.strength is not None) != (self.choice in ("first", "second")):
            raise ValueError("a strength belongs to a preference, and to nothing else")
        return self


class RankingAnswer(BaseAnswer):
    """In which order several responses stand.

    Attributes:
        ranks: Rank of each place, 1 for the best; equal ranks are ties. None where the annotator cannot judge.
    """

    task: Literal["ranking"] = "ranking"
    ranks: dict[Place, Annotated[int, Field(ge=1, le=8)]] | None

    @property
    def abstains(self) -> bool:
        """Whether nothing could be judged."""
        return self.ranks is None


class RatingAnswer(BaseAnswer):
    """How good one response is.

    Attributes:
        ratings: Value of each criterion on the rubric's scale.
    """

    task: Literal["rating"] = "rating"
    ratings: Values

    @property
    def abstains(self) -> bool:
        """Whether nothing could be judged."""
        return all(value is None for value in self.ratings.values())


Answer = Annotated[ComparisonAnswer | RankingAnswer | RatingAnswer, Field(discriminator="task")]
ANSWER: TypeAdapter[ComparisonAnswer | RankingAnswer | RatingAnswer] = TypeAdapter(Answer)
