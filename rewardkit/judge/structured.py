"""Verdicts in JSON: `pairwise-json.v1` and `rating-json.v1`, for servers that hold their replies to a schema.

The prompt asks for the same form in words, for whoever cannot be held to it. A reply is read as the schema says or not
at all: nothing is searched for in it, and nothing is guessed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewardkit.judge.contract import (
    Capability,
    Completion,
    Failure,
    PairTexts,
    PairVerdict,
    RatingVerdict,
    Request,
    ResponseTexts,
)
from rewardkit.judge.pairwise import REPLY_TOKENS, PairwiseV1
from rewardkit.judge.prompting import said
from rewardkit.judge.rating import RatingV1
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Order

LOWEST, HIGHEST = 1, 5
M = TypeVar("M", bound=BaseModel)


class PairReply(BaseModel):
    """What is asked for of a comparison."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    verdict: Literal["A", "B", "tie"]


class RatingReply(BaseModel):
    """What is asked for of a response."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    rating: Annotated[int, Field(ge=LOWEST, le=HIGHEST)]


class PairwiseJsonV1(PairwiseV1):
    """`pairwise-json.v1`: a reason and a verdict; a tie is one half."""

    name = "pairwise-json.v1"
    needs: frozenset[Capability] = frozenset({"replies"})
    schema = {"reason": {"type": "string"}, "verdict": {"type": "string", "enum": ["A", "B", "tie"]}}

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better; A names the one shown first."""
        return _in_json(super().render(texts, rubric, order), self.schema)

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the verdict, and keep the reason."""
        found = read(completion, PairReply)
        if isinstance(found, Failure):
            return found
        return PairVerdict({"A": 1.0, "B": 0.0, "tie": 0.5}[found.verdict], 0.0, found.reason.strip())


class RatingJsonV1(RatingV1):
    """`rating-json.v1`: a reason and a whole number from 1 to 5, whatever the rubric's scale."""

    name = "rating-json.v1"
    needs: frozenset[Capability] = frozenset({"replies"})
    schema = {"reason": {"type": "string"}, "rating": {"type": "integer", "enum": [*range(LOWEST, HIGHEST + 1)]}}

    def render_rating(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Request:
        """Ask for a number on one criterion."""
        return _in_json(super().render_rating(texts, rubric, criterion), self.schema)

    def parse_rating(self, completion: Completion) -> RatingVerdict | Failure:
        """Read the number, and keep the reason."""
        found = read(completion, RatingReply)
        if isinstance(found, Failure):
            return found
        return RatingVerdict((found.rating - LOWEST) / (HIGHEST - LOWEST), 0.0, found.reason.strip())


def read(completion: Completion, form: type[M]) -> M | Failure:
    """Read a reply that must have a form.

    Args:
        completion: A backend's answer.
        form: What it must be.
    """
    if completion.failure:
        return Failure(completion.failure)
    reply = said(completion.reply).strip()
    if not reply:
        return Failure("an empty reply")
    try:
        return form.model_validate_json(reply)
    except ValidationError as error:
        first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    # Few and fixed words: failures are counted by them.
    if key in form.model_fields:
        return Failure(f"the reply's {key} is missing" if first["type"] == "missing" else f"the reply's {key} is none")
    return Failure("the reply says more than was asked for" if key else "the reply is no JSON object")


def _in_json(asked: Request, properties: dict[str, Any]) -> Request:
    """Return a request whose answer is a JSON object of these properties, all of them."""
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return Request(asked.system, asked.user, "", (), reply_tokens=REPLY_TOKENS, schema=json.dumps(schema))
