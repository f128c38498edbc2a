"""The records that rewardkit stores and passes between rooms.

Frozen pydantic models: a record read back is a record that was valid when it was written. Identity is
content: two imports of one file give the same ids. Labels are kept in the frame of the comparison,
after the order in which it was shown has been undone.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "validation", "calibration", "test"]
Choice = Literal["a", "b", "tie", "both_bad"]
Order = Literal["ab", "ba"]
Status = Literal["ok", "abstained", "failed"]
Kind = Literal["human", "judge"]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def content_id(*parts: str) -> str:
    """Return the 128-bit BLAKE2b hash of the parts as 32 hex digits.

    Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    chunks: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        chunks += (len(data).to_bytes(8, "little"), data)
    return hashlib.blake2b(b"".join(chunks), digest_size=16).hexdigest()


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One chat message."""

    role: Role
    content: str


class Prompt(Record):
    """What the responses answer: a list of chat messages (it may be empty)."""

    id: str
    messages: tuple[Message, ...]
    task: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, messages: tuple[Message, ...], *, task: str = "", **metadata: Any) -> Prompt:
        """Build a prompt whose id is the hash of its messages."""
        identity = cls.identity(*((message.role, message.content) for message in messages))
        return cls(id=identity, messages=messages, task=task, metadata=metadata)

    @staticmethod
    def identity(*messages: tuple[str, str]) -> str:
        """Return the id of a prompt of these messages (role, content)."""
        return content_id("prompt", *(part for message in messages for part in message))


class Response(Record):
    """One response to a prompt, and where it came from."""

    id: str
    prompt_id: str
    text: str = Field(min_length=1)
    model: str | None = None
    generation: dict[str, Any] = Field(default_factory=dict)
    edited_from: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, prompt_id: str, text: str, *, model: str | None = None, **fields: Any) -> Response:
        """Build a response whose id is the hash of its prompt, text and model."""
        identity = cls.identity(prompt_id, text, model)
        return cls(id=identity, prompt_id=prompt_id, text=text, model=model, **fields)

    @staticmethod
    def identity(prompt_id: str, text: str, model: str | None) -> str:
        """Return the id of a response."""
        return content_id("response", prompt_id, text, model or "")


class Comparison(Record):
    """Two responses to one prompt.

    `response_a` is always the response whose id sorts first, so that the orientation carries no
    information (in files of the chosen/rejected kind the better response always comes first) and the
    same pair met the other way round is the same comparison. A ranking of N responses is its pairs,
    with a common `group`.
    """

    id: str
    prompt_id: str
    response_a: str
    response_b: str
    split: Split | None = None
    group: str | None = None
    source: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, prompt_id: str, first: str, second: str, **fields: Any) -> Comparison:
        """Build the comparison of two responses (ids), in canonical orientation."""
        a, b = sorted((first, second))
        identity = cls.identity(prompt_id, a, b)
        return cls(id=identity, prompt_id=prompt_id, response_a=a, response_b=b, **fields)

    @staticmethod
    def identity(prompt_id: str, response_a: str, response_b: str) -> str:
        """Return the id of a comparison in canonical orientation (the smaller id first)."""
        return content_id("comparison", prompt_id, response_a, response_b)


class Annotator(Record):
    """A human or a judge (judge = model + protocol version + prompt hash), real or simulated."""

    id: str
    kind: Kind
    name: str
    rater_group: str = ""
    simulated: bool = False
    model: str | None = None
    revision: str | None = None
    protocol: str | None = None
    prompt_hash: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, kind: Kind, name: str, **fields: Any) -> Annotator:
        """Build an annotator whose id is the hash of everything that makes it this annotator."""
        draft = cls(id="", kind=kind, name=name, **fields)
        # Defaults are left out here and below, so that a field added later leaves the old ids as they are.
        identity = content_id("annotator", draft.model_dump_json(exclude={"id"}, exclude_defaults=True))
        return draft.model_copy(update={"id": identity})


class Label(Record):
    """What one annotator said about one comparison, in the comparison's frame.

    `choice` is None unless status is ok; `p_a` is set for soft labels (a judge's probabilities).
    `strength` is how strongly, on the annotator's own scale (> 0). A later version of the same label
    names the earlier one in `supersedes`.
    """

    id: str
    comparison_id: str
    annotator_id: str
    status: Status = "ok"
    choice: Choice | None = None
    strength: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    p_a: Probability | None = None
    criteria: dict[str, Choice] = Field(default_factory=dict)
    spans: tuple[dict[str, Any], ...] = ()
    rationale: str = ""
    reason: str = ""
    order_shown: Order | None = None
    repeat: int = 0
    sampling_prob: Annotated[float, Field(gt=0, le=1)] = 1.0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    guideline_version: str | None = None
    tokens: int | None = None
    cost: float | None = None
    created_at: datetime | None = None
    supersedes: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, comparison_id: str, annotator_id: str, **fields: Any) -> Label:
        """Build a label whose id is the hash of what was said (not of when)."""
        draft = cls(id="", comparison_id=comparison_id, annotator_id=annotator_id, **fields)
        # Nobody else has seen the draft: setting its id spares the copy, which imports would feel.
        draft.__dict__["id"] = cls.identity(draft.said())
        return draft

    def said(self) -> str:
        """Return what the id covers, as JSON."""
        return self.model_dump_json(exclude={"id", "created_at", "seconds", "tokens", "cost"}, exclude_defaults=True)

    @staticmethod
    def identity(said: str) -> str:
        """Return the id of a label that says this."""
        return content_id("label", said)


class Rating(Record):
    """A number that one annotator gave one response on one criterion.

    The value is None unless status is ok. A later version of the same rating names the earlier one in
    `supersedes`.
    """

    id: str
    response_id: str
    annotator_id: str
    criterion: str
    value: Finite | None = None
    scale: tuple[Finite, Finite]
    status: Status = "ok"
    reason: str = ""
    rubric_version: str = ""
    repeat: int = 0
    sampling_prob: Annotated[float, Field(gt=0, le=1)] = 1.0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    guideline_version: str | None = None
    rationale: str = ""
    created_at: datetime | None = None
    supersedes: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, response_id: str, annotator_id: str, criterion: str, **fields: Any) -> Rating:
        """Build a rating whose id is the hash of what was said (not of when, nor of what it cost)."""
        draft = cls(id="", response_id=response_id, annotator_id=annotator_id, criterion=criterion, **fields)
        # The same answer costs nothing when it is had again; without one, `cost` leaves no trace in the id.
        unsaid: Any = {"cost"} if draft.metadata.keys() - {"cost"} else True
        without = {"id": True, "created_at": True, "seconds": True, "metadata": unsaid}
        said = draft.model_dump_json(exclude=without, exclude_defaults=True)
        draft.__dict__["id"] = content_id("rating", said)
        return draft


class SoftPreference(Record):
    """What all annotators together say about one comparison.

    Attributes:
        p_a: Aggregated probability that A is preferred: the training target.
        sample_weight: How much the example counts in the loss (0 drops it).
        human_p_a: Plain share of human votes for A (a tie counts half), None without human labels.
            Calibration and evaluation use this, never the aggregate.
        judge_p_a: The judges' mean probability after averaging both orders, None without judges.
        p_tie: Probability of a tie, which counts half in p_a.
        unit: What splits and intervals go by: a prompt, or a component of comparisons that share texts.
    """

    comparison_id: str
    p_a: Probability
    sample_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n_human: int = 0
    n_judge: int = 0
    human_p_a: Probability | None = None
    judge_p_a: Probability | None = None
    p_tie: Probability = 0.0
    method: str
    split: Split
    unit: str


class SoftRating(Record):
    """What all annotators together say about one response on one criterion.

    Attributes:
        value: From 0 (the lower end of the scale) to 1, as people rate.
        end: Characters of the response, from its start, that were rated; all if absent.
        n_human: People who rated it.
        n_judge: Judges whose ratings count.
    """

    criterion: str
    value: Probability
    end: Annotated[int, Field(ge=1)] | None = None
    n_human: int = 0
    n_judge: int = 0


class PreferenceExample(Record):
    """A soft preference with its texts: all that training and evaluation need, in one line of a file.

    Attributes:
        ratings_a: Of the first response.
        ratings_b: Of the second.
    """

    schema_version: int = SCHEMA_VERSION
    preference: SoftPreference
    prompt: tuple[Message, ...]
    response_a: str
    response_b: str
    task: str = ""
    source: str = ""
    simulated: bool = False
    ratings_a: tuple[SoftRating, ...] = ()
    ratings_b: tuple[SoftRating, ...] = ()

    def swapped(self) -> PreferenceExample:
        """Return the same example seen the other way round (p_a becomes 1 − p_a)."""
        preference = self.preference
        flipped = {
            name: None if value is None else 1.0 - value
            for name in ("p_a", "human_p_a", "judge_p_a")
            for value in [getattr(preference, name)]
        }
        return self.model_copy(
            update={
                "preference": preference.model_copy(update=flipped),
                "response_a": self.response_b,
                "response_b": self.response_a,
                "ratings_a": self.ratings_b,
                "ratings_b": self.ratings_a,
            }
        )
