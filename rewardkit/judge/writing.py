"""What a model writes when it is asked for a response, and not for its opinion of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rewardkit.types import Response


@dataclass(frozen=True)
class Written:
    """What came of asking a model for one text.

    Attributes:
        id: Of what was asked for: the same one when it is asked again.
        prompt_id: Of the prompt that is answered.
        seed: Of the draw.
        response: The text with where it came from; None where there is none.
        status: Whether it is there, was left out as it came to nothing, or could not be had.
        reason: Why it is not there.
    """

    id: str
    prompt_id: str
    seed: int
    response: Response | None = None
    status: Literal["ok", "left_out", "failed"] = "ok"
    reason: str = ""
