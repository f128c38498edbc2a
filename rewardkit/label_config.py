"""The section `label` of a job: a study that people label in a web page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rewardkit.section import Count, Fraction, Positive, Section

Seconds = Annotated[float, Field(ge=0.0)]
Temperature = Annotated[float, Field(gt=0.0, le=2.0)]


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
    longest_lease: Positive = Field(3600.0, description="seconds that a lease lasts at most while somebody writes")
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


class ModelConfig(Section):
    """How a model that writes for the page is reached and sampled."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        examples=["http://127.0.0.1:8000/v1"],
        description="base of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1; models here if absent",
    )
    key_variable: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        examples=["OPENAI_API_KEY"],
        description="environment variable that holds the server's API key",
    )
    temperature: Temperature = 0.9
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    max_tokens: Count = Field(400, description="of one reply")
    seconds: Positive = Field(120.0, description="what both replies to a message may take")
    streams: Count = Field(8, description="annotators who are written for at the same time")


class LiveJudgeConfig(ModelConfig):
    """A judge that is asked while the annotator waits, after their blind answer."""

    model: str = Field("smollm2-135m", description="who judges")
    rubric: str = Field("creative", description="name or path of the rubric by which it judges")
    temperature: Temperature = 0.2
    max_tokens: Count = Field(300, description="of its longest answer, the critique")
    seconds: Positive = Field(60.0, description="what it may take; without an answer then there is no review")
    streams: Count = Field(
        8, description="annotators for whom it is asked at the same time behind a URL; a model here takes one by one"
    )


class ReviewConfig(Section):
    """Assisted review: after the blind answer, some annotators see what a judge said, and verify it."""

    judge: str | None = Field(
        None,
        description="name of the judge whose labels in the database are shown, or of its model, for its ratings too",
    )
    live: LiveJudgeConfig | None = Field(None, description="a model that is asked instead, while the annotator waits")
    share: Fraction = Field(0.5, description="probability with which an answer is followed by a review")

    @model_validator(mode="after")
    def _one_judge(self) -> ReviewConfig:
        if (self.judge is None) == (self.live is None):
            raise ValueError("name either a judge (its labels are in the database) or live (a model that is asked)")
        return self


class ChatConfig(ModelConfig):
    """Annotators talk with models: each of their messages gets two replies, and the better one goes on."""

    models: tuple[str, ...] = Field(
        ("smollm2-135m",), min_length=1, max_length=2, description="one that replies twice, or two that reply once"
    )
    system: str = Field("", description="instructions that the models get and annotators do not see")
    longest_message: Count = Field(4000, description="characters of an annotator's message")
    least_turns: Count = Field(1, description="pairs of replies after which an annotator may end a conversation")
    most_turns: Count = Field(8, description="pairs of replies in a conversation")
    conversations: Count = Field(3, description="that one annotator has at most")

    @model_validator(mode="after")
    def _most_turns_is_more(self) -> ChatConfig:
        if self.most_turns < self.least_turns:
            raise ValueError(f"most_turns is {self.most_turns}, and least_turns is already {self.least_turns}")
        return self


class LabelConfig(Section):
    """A web page on which people label."""

    study: str | None = Field(None, description="name of the study; the job's name if absent")
    title: str = Field("Which response is better?", description="heading of the page")
    task: Literal["comparison", "ranking", "rating"] = Field("comparison", description="what annotators do")
    source: str | None = Field(None, description="label only comparisons of this source; all if absent")
    left_by: str | None = Field(
        None, description="label only comparisons that this judge left to people, such as cascade/NAME; all if absent"
    )
    limit: Count | None = Field(None, description="label at most this many items")
    pairs_per_prompt: Count = Field(
        6, description="where the database holds no comparisons: pairs that are formed of each prompt's responses"
    )
    rubric: str | None = Field(None, description="name or path of a rubric, for answers on single criteria")
    criteria: Literal["compare", "rate"] = Field(
        "compare", description="what annotators may say on each criterion of a comparison: which is better, or ratings"
    )
    guidelines: str = Field("", description="Markdown file that annotators read first; a short text if absent")
    consent: str = Field("", description="Markdown file that annotators agree to; a short text if absent")
    rater_group: str = Field("crowd", description="group of these annotators, such as crowd or experts")
    reasons: tuple[str, ...] | None = Field(
        None, max_length=20, description="quick reasons that may be ticked; a few that fit the task if absent"
    )
    edits: bool = Field(True, description="whether annotators may make a response better")
    spans: bool = Field(True, description="whether annotators may mark passages")
    least_seconds: Seconds = Field(2.0, description="an answer that comes faster is refused")
    most_items: Count | None = Field(None, description="items that one annotator gets at most")
    completion_code: str = Field("", description="shown at the end; a code of the annotator's own if absent")
    host: str = Field("127.0.0.1", description="address that the server listens on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(7860, description="0 takes any free port")
    public_url: str | None = Field(None, description="address under which annotators reach the page, if another")
    webhook: str | None = Field(
        None,
        pattern=r"^https?://",
        examples=["https://example.org/finished"],
        description="address that is told when all labels are there: POST of JSON (study, items, wanted, done, leased) "
        "with the header x-rewardkit-signature, the HMAC-SHA256 of the body in hex; `label` prints its key, a text",
    )
    open_signup: bool = Field(False, description="whether anybody who knows the address may join under a name")
    assignment: AssignmentConfig = AssignmentConfig()
    check: CheckConfig = CheckConfig()
    qualification: QualificationConfig = QualificationConfig()
    gold: GoldConfig | None = None
    prolific: ProlificConfig | None = Field(
        None, description="let people of Prolific in by /start; write {} for its defaults"
    )
    review: ReviewConfig | None = Field(None, description="only for comparisons")
    chat: ChatConfig | None = Field(None, description="annotators talk with models; nothing has to be imported then")

    @model_validator(mode="after")
    def _reviews_are_of_comparisons(self) -> LabelConfig:
        if self.review and (self.task != "comparison" or self.chat):
            task = "a chat" if self.chat else self.task
            raise ValueError(f"a review follows comparisons, and the task is {task}")
        return self

    @model_validator(mode="after")
    def _chat_makes_its_own_items(self) -> LabelConfig:
        if self.chat and (self.task != "comparison" or self.gold or self.qualification.source):
            raise ValueError("replies of a chat are compared as they come: no other task, gold or qualification")
        return self
