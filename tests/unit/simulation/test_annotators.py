"""Simulated annotators do what they state, and say that they are simulated."""

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rewardkit.errors import ConfigError, DataError
from rewardkit.simulate_config import SimulateConfig
from rewardkit.simulation.annotators import form_comparisons, level_of, simulate_labels
from rewardkit.types import Annotator, Comparison, Label, Response


@dataclass(frozen=True)
class Item:
    comparison: Comparison
    response_a: Response
    response_b: Response


def _items(n, seed=0):
    rng = random.Random(seed)
    for i in range(n):
        pair = [
            Response.of(f"p{i}", "x" * rng.randint(20, 400), model=m, metadata={"level": rng.choice([0, 1, 2, 3])})
            for m in "mn"
        ]
        a, b = sorted(pair, key=lambda r: r.id)
        yield Item(Comparison.of(f"p{i}", a.id, b.id), a, b)


def _config(*annotators, **fields):
    return SimulateConfig.model_validate({"annotators": annotators, **fields})


def _labels(items, config, seed=0):
    made = list(simulate_labels(items, config, seed))
    return [x for x in made if isinstance(x, Annotator)], [x for x in made if isinstance(x, Label)]


@pytest.mark.parametrize("kind", ["human", "judge"])
def test_stated_parameters_are_recovered_by_logistic_regression(kind):
    stated = {"reliability": 1.2, "position_bias": 0.6, "length_bias": 0.5}
    items = {item.comparison.id: item for item in _items(6000)}
    _, labels = _labels(items.values(), _config({"name": "s", "kind": kind, **stated}), seed=3)
    rows, chosen = [], []
    for label in labels:
        item = items[label.comparison_id]
        a, b = item.response_a, item.response_b
        rows.append(
            (
                a.metadata["level"] - b.metadata["level"],
                1.0 if label.order_shown == "ab" else -1.0,
                math.log2(len(a.text) / len(b.text)),
            )
        )
        chosen.append(label.choice == "a")
    fitted = LogisticRegression(C=np.inf, fit_intercept=False).fit(np.array(rows), chosen)
    assert fitted.coef_[0] == pytest.approx(list(stated.values()), abs=0.12)


def test_a_lapse_is_random_and_a_tie_is_narrow():
    items = list(_items(3000))
    config = _config(
        {"name": "sure", "reliability": 50.0},
        {"name": "careless", "reliability": 50.0, "lapse": 0.4},
        {"name": "undecided", "reliability": 1.0, "tie_width": 1.5},
    )
    annotators, labels = _labels(items, config)
    gap = {i.comparison.id: i.response_a.metadata["level"] - i.response_b.metadata["level"] for i in items}
    names = {a.id: a.name for a in annotators}
    right = {"sure": [], "careless": []}
    for label in labels:
        name, difference = names[label.annotator_id], gap[label.comparison_id]
        if name == "undecided":
            assert (label.choice == "tie") == (abs(difference) < 1.5)
        elif difference:
            right[name].append((label.choice == "a") == (difference > 0))
    assert all(right["sure"])
    assert np.mean(right["careless"]) == pytest.approx(0.8, abs=0.03)


def test_strength_follows_the_logit():
    items = list(_items(300))
    _, labels = _labels(items, _config({"name": "s", "reliability": 1.0, "tie_width": 0.5}))
    gap = {i.comparison.id: abs(i.response_a.metadata["level"] - i.response_b.metadata["level"]) for i in items}
    assert {(gap[label.comparison_id], label.strength) for label in labels} == {(0, None), (1, 2.0), (2, 2.0), (3, 3.0)}


def test_humans_are_sampled_and_judges_see_both_orders():
    humans = [{"name": f"h{i}"} for i in range(5)]
    annotators, labels = _labels(_items(2000), _config(*humans, {"name": "j", "kind": "judge"}))
    by_name = {a.name: [label for label in labels if label.annotator_id == a.id] for a in annotators}
    for i in range(5):
        mine = by_name[f"h{i}"]
        assert len(mine) == pytest.approx(1200, abs=90)
        assert {label.sampling_prob for label in mine} == {0.6}
        assert np.mean([label.order_shown == "ab" for label in mine]) == pytest.approx(0.5, abs=0.05)
    assert sum(len(by_name[f"h{i}"]) for i in range(5)) == 6000
    assert len(by_name["j"]) == 4000 and {label.sampling_prob for label in by_name["j"]} == {1.0}
    assert {label.order_shown for label in by_name["j"][:2]} == {"ab", "ba"}
    assert all(a.simulated for a in annotators)
    assert annotators[0].settings["reliability"] == 1.0 and annotators[-1].kind == "judge"


def test_fewer_humans_than_asked_for_all_answer():
    _, labels = _labels(_items(10), _config({"name": "h"}, labels_per_comparison=3))
    assert len(labels) == 10 and labels[0].sampling_prob == 1.0


def test_the_same_seed_gives_the_same_labels_in_any_order():
    items, config = list(_items(50)), _config({"name": "h"}, {"name": "k"}, {"name": "j", "kind": "judge"})
    first, again = _labels(items, config, 1)[1], _labels(reversed(items), config, 1)[1]
    assert {label.id for label in first} == {label.id for label in again}
    assert {label.id for label in first} != {label.id for label in _labels(items, config, 2)[1]}


def test_another_seed_is_another_annotator():
    items, config = list(_items(20)), _config({"name": "h"}, {"name": "j", "kind": "judge"})
    (one, _), (other, _) = _labels(items, config, 1), _labels(items, config, 2)
    assert [a.settings["seed"] for a in one + other] == [1, 1, 2, 2]
    assert not {a.id for a in one} & {a.id for a in other}


def test_another_annotator_moves_no_judge():
    items, judge = list(_items(50)), {"name": "j", "kind": "judge"}
    alone = _labels(items, _config(judge))[1]
    joined = _labels(items, _config({"name": "h"}, judge))[1]
    assert {label.id for label in alone} <= {label.id for label in joined}


@pytest.mark.parametrize("level", [None, True, "2", math.nan])
def test_a_response_without_a_level_is_one_clear_error(level):
    with pytest.raises(DataError, match="metadata.level"):
        level_of(Response.of("p", "text", metadata={} if level is None else {"level": level}), "level")


def test_two_annotators_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two annotators"):
        _labels([], _config({"name": "h"}, {"name": "h"}))


def test_comparisons_are_formed_where_levels_differ():
    levels = {"bad": 0, "poor": 1, "good": 3}
    responses = [Response.of("p", text, metadata={"level": level}) for text, level in levels.items()]
    text = {r.id: r.text for r in responses}

    def pairs(least):
        made = form_comparisons({"p": responses}, "level", least, "demo")
        return {frozenset((text[c.response_a], text[c.response_b])) for c in made}

    assert pairs(2) == {frozenset(("bad", "good")), frozenset(("poor", "good"))}
    assert len(pairs(0)) == 3
    forward = list(form_comparisons({"p": responses, "q": []}, "level", 1))
    assert forward == list(form_comparisons({"q": [], "p": responses[::-1]}, "level", 1))


def test_equal_texts_are_not_compared():
    twins = [Response.of("p", "same", model=m, metadata={"level": level}) for m, level in (("m", 0), ("n", 3))]
    assert not list(form_comparisons({"p": twins}, "level", 1))
