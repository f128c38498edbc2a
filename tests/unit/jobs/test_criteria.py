"""What a model says on criteria beside what people rated, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rewardkit.audit.results import Level
from rewardkit.jobs.criteria import criteria_rows
from rewardkit.reward_model import scoring
from rewardkit.types import PreferenceExample, SoftPreference, SoftRating

MODEL = SimpleNamespace(card=SimpleNamespace(criteria=(SimpleNamespace(name="wit"), SimpleNamespace(name="form"))))


def rated(criterion, value, **fields):
    return SoftRating(criterion=criterion, value=value, **{"n_human": 1, **fields})


def example(number, value):
    preference = SoftPreference(
        comparison_id=str(number), p_a=0.5, sample_weight=1, method="m", split="test", unit=f"u{number}"
    )
    judged = rated("wit", 0.0, n_human=0, n_judge=1)
    part = rated("wit", 0.0, end=1)
    return PreferenceExample(
        preference=preference,
        prompt=(),
        response_a="a" * (number + 1),
        response_b="same",
        ratings_a=(rated("wit", value), part),
        ratings_b=(judged,),
    )


@pytest.fixture
def said(monkeypatch):
    """A model whose wit is the length of a text, and which cannot read what is nine letters long."""

    def reward(_, texts):
        lengths = np.array([len(text) for _, text in texts], dtype=float)
        reasons = tuple("too long" if n == 9 else "" for n in lengths)
        criteria = np.column_stack([lengths, lengths])
        return scoring.Rewards(lengths[:, None], criteria, np.zeros(len(texts), dtype=bool), reasons)

    monkeypatch.setattr(scoring, "reward", reward)


def test_ranks_are_those_of_people_who_rated_the_whole(said):
    # Ranks of 1 to 6 against 1, 2, 3, 4, 6, 5: Spearman is 1 − 6 · 2 / 210. The ninth cannot be read.
    values = [0.1, 0.2, 0.3, 0.4, 0.6, 0.5]
    examples = [example(number, value) for number, value in enumerate(values)]
    examples += [examples[0], example(8, 0.9)]
    wit, form = criteria_rows(MODEL, examples, Level())
    assert wit.correlation.value == pytest.approx(1 - 12 / 210)
    assert (wit.correlation.n, wit.correlation.n_units) == (6, 6)
    assert form.correlation is None and "too few responses" in form.note


def test_nobody_rated(said):
    rows = criteria_rows(MODEL, [], Level())
    assert [(row.name, row.correlation, row.note) for row in rows] == [
        ("wit", None, "nobody rated a test response"),
        ("form", None, "nobody rated a test response"),
    ]
