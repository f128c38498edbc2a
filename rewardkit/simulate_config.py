"""The section `simulate` of a job: annotators that do not exist, and a study to be sized by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rewardkit.section import Count, Fraction, Positive, Section

NotNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
MESSAGES = ("Tell me a joke about the weather.", "Another one, please, and shorter.", "Now two lines that rhyme.")


class SimulatedAnnotatorConfig(Section):
    """An annotator who follows logit P(A) = reliability·Δlevel + position_bias·x + length_bias·Δlog(length)."""

    name: str
    kind: Literal["human", "judge"] = "human"
    reliability: float = Field(1.0, description="logits per level of quality")
    position_bias: float = Field(0.0, description="logits in favour of the response shown first")
    length_bias: float = Field(0.0, description="logits per doubling of length in favour of the longer response")
    lapse: Fraction = Field(0.0, description="share of answers given at random")
    tie_width: NotNegative = Field(0.0, description="|logit| below which the answer is a tie")
    fatigue: NotNegative = Field(
        0.0, description="share of the reliability that is lost over 100 answers; it never falls below 0"
    )
    spam: Literal["none", "first", "second", "random"] = Field(
        "none", description="an answer that ignores the texts: always the response shown there, or either"
    )
    seconds: Positive | None = Field(
        None, description="median time for an answer; not stated in labels if absent, and 30 in the page and in a study"
    )
    seconds_spread: NotNegative = Field(0.5, description="standard deviation of the logarithm of that time")
    understanding: Fraction = Field(
        1.0, description="probability that a question of the page's comprehension check is answered right"
    )
    deference: Fraction = Field(
        0.3,
        description="probability that a judge's choice, where another than the blind one, is taken over in a review; "
        "the default is an assumption: about what people's estimates weigh of others' advice (Yaniv and Kleinberger, "
        "2000, Organizational Behavior and Human Decision Processes 83)",
    )
    messages: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        MESSAGES, min_length=1, description="what is said to a model, one message a turn; after the last they end it"
    )


class StudyConfig(Section):
    """A study of comparisons that is planned: what will its labels be worth, and what will they cost?"""

    items: Count = Field(description="comparisons that there are to label")
    budget: Positive = Field(description="what all labels may cost")
    price: Positive = Field(description="what one label costs, gold included")
    overlap: tuple[Count, ...] = Field((1, 3, 5), min_length=1, description="labels that each item gets")
    gold: tuple[Share, ...] = Field((0.0, 0.1), min_length=1, description="share of items with a known answer")
    people: Count = Field(20, description="annotators, as whom the simulated humans are dealt out in turn")
    least_gold_accuracy: Fraction = Field(
        0.7, description="share of right answers on gold below which an annotator is left out"
    )
    replicates: Annotated[int, Field(ge=20)] = Field(
        200, description="studies that are simulated; the intervals are as fine as they are many"
    )
    level_differences: tuple[NotNegative, ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="differences of level, each as frequent as the others, where the database states none",
    )
    length_spread: NotNegative = Field(
        0.5, description="standard deviation of the doublings of length between two responses, with these differences"
    )

    @model_validator(mode="after")
    def _enough_people(self) -> StudyConfig:
        if max(self.overlap) > self.people:
            raise ValueError(f"{max(self.overlap)} labels for an item need as many people, and there are {self.people}")
        if not any(self.level_differences):
            raise ValueError("level_differences are all 0: no response would be better than another")
        return self


class SimulateConfig(Section):
    """Labels by simulated annotators, from a level of quality that the data set states for each response."""

    annotators: tuple[SimulatedAnnotatorConfig, ...] = Field(min_length=1)
    labels_per_comparison: Count = Field(3, description="how many of the annotators label each comparison")
    level: str = Field("level", description="key of the response's metadata that states its quality")
    min_level_difference: NotNegative = Field(
        1.0, description="comparisons are formed of responses to one prompt that differ by at least this"
    )
    study: StudyConfig | None = None
