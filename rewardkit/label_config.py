"""The section `label` of a job: a study that people label in a web page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rewardkit.section import Count, Fraction, Positive, Section

Seconds = Annotated[float, Field(ge=0.0)]


class AssignmentConfig(Section):
    """How items are handed out."""

    overlap: Count = Field(3, description="labels that each item gets")
    most_overlap: Count = Field(5, description="labels that a comparison gets at most, where annotators disagree")
    agreement: Fraction = Field(0.7, description="share of the leading choice below which another label is asked for")
    gold_early: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.2, description="share of gold among the first `gold_early_turns` turns"
    )
    gold_late: Annotated[float, Field(ge=0.0, le=0.5)] = Field(0.05, description="share that it decays to")
    gold_early_turns: Count = Field(25, description="how long the early share holds, and how fast it decays after")
    repeats: Annotated[float, Field(ge=0.0, le=0.4)] = Field(0.05, description="share of repeats with changed sides")
    repeat_after: Count = Field(10, description="turns that lie at least between an item and its repeat")
    window: Count = Field(32, description="open items among which one is drawn; more is more random and slower")
    least_lease: Positive = Field(600.0, description="seconds that a lease lasts at least")
    lease_medians: Seconds = Field(3.0, description="medians of the time for a label that a lease lasts otherwise")

    @model_validator(mode="after")
    def _most_is_more(self) -> AssignmentConfig:
        if self.most_overlap < self.overlap:
            raise ValueError(f"most_overlap is {self.most_overlap}, and overlap is already {self.overlap}")
        return self


class QuestionConfig(Section):
    """A question that shows whether the guidelines were understood."""

    text: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2, max_length=8)
    right: Annotated[int, Field(ge=1)] = Field(description="number of the right option, from 1")

    @model_validator(mode="after")
    def _right_exists(self) -> QuestionConfig:
        if self.right > len(self.options):
            raise ValueError(f"there are {len(self.options)} options, and the right one is said to be {self.right}")
        return self


class CheckConfig(Section):
    """The comprehension check, before any work."""

    questions: tuple[QuestionConfig, ...] = ()
    tries: Annotated[int, Field(ge=2)] = Field(2, description="how often all questions may be answered")


class QualificationConfig(Section):
    """Items with a known answer that come before the work."""

    source: str | None = Field(None, description="source of the comparisons, whose human labels are the right answers")
    items: Count = Field(5, description="how many of them each annotator gets")
    passed: Fraction = Field(0.8, description="share of right answers that is needed")


class GoldConfig(Section):
    """Items with a known answer among the work."""

    source: str = Field(description="source of the comparisons, whose human labels are the right answers")


class ProlificConfig(Section):
    """How annotators of Prolific arrive and leave."""

    study_id: str | None = Field(None, description="refuse arrivals of another study; any study if absent")
    completion_url: str = Field(
        "https://app.prolific.com/submissions/complete?cc={code}", description="{code}: the completion code"
    )


class LabelConfig(Section):
    """A web page on which people label."""

    study: str | None = Field(None, description="name of the study; the job's name if absent")
    title: str = Field("Which response is better?", description="heading of the page")
    task: Literal["comparison", "ranking", "rating"] = Field("comparison", description="what annotators do")
    source: str | None = Field(None, description="label only comparisons of this source; all if absent")
    limit: Count | None = Field(None, description="label at most this many items")
    rubric: str | None = Field(None, description="name or path of a rubric, for answers on single criteria")
    guidelines: str = Field("", description="Markdown file that annotators read first; a short text if absent")
    consent: str = Field("", description="Markdown file that annotators agree to; a short text if absent")
    rater_group: str = Field("crowd", description="group of these annotators, such as crowd or experts")
    reasons: tuple[str, ...] = Field(
        ("more original", "better written", "follows the request", "funnier", "too long", "clichéd", "incoherent"),
        max_length=20,
        description="quick reasons that may be ticked",
    )
    edits: bool = Field(True, description="whether annotators may make a response better")
    spans: bool = Field(True, description="whether annotators may mark passages")
    least_seconds: Seconds = Field(2.0, description="an answer that comes faster is refused")
    most_items: Count | None = Field(None, description="items that one annotator gets at most")
    completion_code: str = Field("", description="shown at the end; a code of the annotator's own if absent")
    host: str = Field("127.0.0.1", description="address that the server listens on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(7860, description="0 takes any free port")
    public_url: str | None = Field(None, description="address under which annotators reach the page, if another")
    open_signup: bool = Field(False, description="whether anybody who knows the address may join under a name")
    assignment: AssignmentConfig = AssignmentConfig()
    check: CheckConfig = CheckConfig()
    qualification: QualificationConfig = QualificationConfig()
    gold: GoldConfig | None = None
    prolific: ProlificConfig = ProlificConfig()
