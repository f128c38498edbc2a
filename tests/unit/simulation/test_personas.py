"""Personas tire, spam and take their time as they state; those who state nothing of it say what they always said."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import mean, median, stdev

import pytest
from pydantic import ValidationError

from rewardkit.simulate_config import SimulateConfig, SimulatedAnnotatorConfig
from rewardkit.simulation.annotators import simulate_labels, simulated_annotator
from rewardkit.simulation.personas import Persona, strength_of
from rewardkit.types import Annotator, Comparison, Label, Response, content_id


@dataclass(frozen=True)
class Item:
    comparison: Comparison
    response_a: Response
    response_b: Response


def items(count, levels=(0, 1, 2, 3)):
    rng = random.Random(0)
    for i in range(count):
        pair = [
            Response.of(f"p{i}", "x" * rng.randint(20, 400), model=m, metadata={"level": rng.choice(levels)})
            for m in "mn"
        ]
        a, b = sorted(pair, key=lambda r: r.id)
        yield Item(Comparison.of(f"p{i}", a.id, b.id), a, b)


def labels_of(count, *annotators, seed=0, wanted=3, levels=(0, 1, 2, 3)):
    config = SimulateConfig.model_validate({"annotators": annotators, "labels_per_comparison": wanted})
    made = list(simulate_labels(items(count, levels), config, seed))
    return [x for x in made if isinstance(x, Annotator)], [x for x in made if isinstance(x, Label)]


def persona(**settings):
    return Persona(SimulatedAnnotatorConfig(name="p", **settings), "p", 0)


def test_annotators_who_state_nothing_new_keep_their_ids_and_their_labels():
    # Recorded before there were fatigue, spam and times.
    three = (
        {"name": "h", "reliability": 1.2, "position_bias": 0.3, "lapse": 0.1, "tie_width": 0.4},
        {"name": "g", "length_bias": 0.5},
        {"name": "j", "kind": "judge"},
    )
    annotators, labels = labels_of(40, *three, seed=7, wanted=1)
    assert [each.id for each in annotators] == [
        "eb9aed166a328b7f3f3e422ad84e253c",
        "81989143e9fa7638e004754bd75b4c87",
        "d98f838ff1715362dad37f9d8d89cc45",
    ]
    said = content_id("labels", *(label.model_dump_json() for label in labels))
    assert len(labels) == 120 and said == "2062b29a85358abebd728ebe18c98622"


@pytest.mark.parametrize(
    "new",
    [
        {"fatigue": 0.1},
        {"spam": "first"},
        {"seconds": 5},
        {"seconds_spread": 0.1},
        {"understanding": 0.5},
        {"deference": 0.5},
        {"messages": ("Hello.",)},
    ],
)
def test_who_states_something_new_is_somebody_else(new):
    plain, other = (SimulatedAnnotatorConfig(name="h", **more) for more in ({}, new))
    assert simulated_annotator(plain, 0).id != simulated_annotator(other, 0).id
    assert simulated_annotator(other, 0).settings.items() >= new.items()


def test_fatigue_takes_its_share_of_the_reliability_and_no_more():
    tiring = persona(reliability=2.0, fatigue=0.5)
    # Half of it is gone after 100 answers, all of it after 200, and nothing more after that.
    assert [tiring.reliability(n) for n in (0, 50, 100, 200, 1000)] == [2.0, 1.5, 1.0, 0.0, 0.0]
    assert tiring.logit(1.0, 0.0, "ab", 100) == 1.0 and tiring.logit(1.0, 0.0, "ba", 500) == 0.0


def test_who_tires_gets_worse_over_the_comparisons():
    _, labels = labels_of(600, {"name": "h", "reliability": 50.0, "fatigue": 0.5}, levels=(0, 1))
    gap = {i.comparison.id: i.response_a.metadata["level"] - i.response_b.metadata["level"] for i in items(600, (0, 1))}
    right = [(label.choice == "a") == (gap[label.comparison_id] > 0) if gap[label.comparison_id] else None
             for label in labels]  # fmt: skip
    early, late = ([each for each in part if each is not None] for part in (right[:150], right[200:]))
    assert all(early)
    # From the 200th answer on only chance is left: .5 within four standard errors.
    assert mean(late) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(late)))


@pytest.mark.parametrize(("spam", "first"), [("first", 1.0), ("second", 0.0), ("random", 0.5)])
def test_spam_ignores_the_texts(spam, first):
    _, labels = labels_of(1000, {"name": "s", "reliability": 50.0, "tie_width": 1.0, "spam": spam})
    taken = mean((label.choice == "a") == (label.order_shown == "ab") for label in labels)
    assert taken == pytest.approx(first, abs=0.06 if spam == "random" else 0.0)
    assert {label.strength for label in labels} == {1.0}


def test_times_have_the_stated_median_and_spread():
    slow = persona(seconds=20.0, seconds_spread=0.8)
    drawn = [slow.seconds(str(n)) for n in range(4000)]
    # Standard errors: 20 · .8 · 1.25 / √4000 = .32 s, and .8 / √8000 = .009.
    assert median(drawn) == pytest.approx(20.0, abs=1.0)
    assert stdev(math.log(each) for each in drawn) == pytest.approx(0.8, abs=0.04)
    assert median(persona().seconds(str(n)) for n in range(4000)) == pytest.approx(30.0, abs=1.0)
    assert persona(seconds=7.0, seconds_spread=0.0).seconds("any") == pytest.approx(7.0)


def test_labels_tell_times_only_of_those_who_state_one():
    _, labels = labels_of(200, {"name": "h", "seconds": 12.0}, {"name": "k"})
    times = [label.seconds for label in labels]
    assert times.count(None) == 200
    assert median(each for each in times if each) == pytest.approx(12.0, abs=2.0)


def test_strength_has_three_steps():
    assert [strength_of(logit) for logit in (0, 0.99, -1, 2.4, -2.5, 9)] == [1, 1, 2, 2, 3, 3]


def test_studies_that_cannot_be_are_refused():
    study = {"items": 10, "budget": 1, "price": 0.1}
    people = [{"name": "h"}]
    for wrong in ({"overlap": [1, 30]}, {"level_differences": [0]}, {"gold": [1.0]}, {"price": 0}):
        with pytest.raises(ValidationError):
            SimulateConfig.model_validate({"annotators": people, "study": {**study, **wrong}})
