from __future__ import annotations

from dataclasses import dataclass

import pytest

from rewardkit.rubric import Rubric
from rewardkit.types import Comparison, Message, Prompt, Response


@dataclass(frozen=True)
class Texts:
    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response

    @property
    def response(self):
        return self.response_a


@pytest.fixture
def texts():
    def build(first="A cat sat.", second="Nobody sat.", prompt="Write a story."):
        asked = Prompt.of((Message(role="user", content=prompt),))
        by_id = {r.id: r for r in (Response.of(asked.id, first), Response.of(asked.id, second))}
        comparison = Comparison.of(asked.id, *by_id)
        return Texts(comparison, asked, by_id[comparison.response_a], by_id[comparison.response_b])

    return build


@pytest.fixture
def rubric():
    return Rubric.model_validate(
        {
            "name": "plain",
            "version": "1",
            "description": "Which is better?",
            "scale": [0, 10],
            "criteria": [
                {"name": "clarity", "description": "It is clear.", "anchors": {0: "murky", 5: "fair", 10: "clear"}},
                {"name": "wit", "description": "It is witty.", "weight": 2},
            ],
        }
    )
