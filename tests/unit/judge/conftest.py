from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rewardkit.rubric import Rubric

PAIR = runpy.run_path(str(Path(__file__).parents[2] / "paired.py"))["pair"]


@pytest.fixture
def texts():
    def build(first="A cat sat.", second="Nobody sat.", prompt="Write a story."):
        return PAIR(first, second, prompt)

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
