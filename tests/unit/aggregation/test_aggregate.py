"""The whole of aggregation: soft preferences, diagnostics and examples."""

import json
import math
from dataclasses import dataclass

import pytest

from rewardkit.aggregation.aggregators import Diagnostics, aggregate, examples
from rewardkit.config import AggregateConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

ANN = Annotator.of("human", "ann")
BEN = Annotator.of("human", "ben")
BOT = Annotator.of("human", "bot", simulated=True)
JUDGE = Annotator.of("judge", "j")
EVERYONE = [ANN, BEN, BOT, JUDGE]
ALL_TRAIN = {"train": 1.0, "validation": 0.0, "calibration": 0.0, "test": 0.0}


@dataclass(frozen=True)
class Item:
    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response


def _item(i, **fields):
    prompt = Prompt.of((Message(role="user", content=f"prompt {i}"),), task="joke")
    a, b = sorted((Response.of(prompt.id, f"{i} {t}") for t in "xy"), key=lambda r: r.id)
    return Item(Comparison.of(prompt.id, a.id, b.id, source="jokes", **fields), prompt, a, b)


def _run(items, labels, method="anchored", **fields):
    config = AggregateConfig.model_validate({"method": method, "split": ALL_TRAIN, **fields})
    return aggregate(items, labels, EVERYONE, config, 0)


def _label(item, annotator, **fields):
    return Label.of(item.comparison.id, annotator.id, **fields)


def test_anchored_votes_by_hand():
    items = [_item(i) for i in range(4)]
    labels = [
        _label(items[0], ANN, choice="a"),
        _label(items[1], ANN, choice="b"),
        _label(items[2], ANN, choice="tie"),
        _label(items[3], ANN, status="abstained"),
    ]
    got = _run(items, labels)
    assert [p.p_a for p in got.preferences] == pytest.approx([0.8, 0.2, 0.5])
    assert [p.human_p_a for p in got.preferences] == [1.0, 0.0, 0.5]
    assert all(p.sample_weight == 1.0 and p.n_human == 1 and p.n_judge == 0 for p in got.preferences)
    d = got.diagnostics
    assert (d.comparisons, d.unlabelled, d.labels_used, d.labels_abstained) == (3, 1, 3, 1)
    assert d.human_reliability == pytest.approx(0.8) and d.judge_weight == 0.0
    assert d.splits["train"].comparisons == 3 and d.splits["test"].units == 0
    assert Diagnostics.model_validate(json.loads(d.model_dump_json())) == d


def test_strength_replaces_reliability_where_it_is_asked_for():
    item = _item(0)
    got = _run([item], [_label(item, ANN, choice="b", strength=3.0)], strength_scale=0.5)
    assert got.preferences[0].p_a == pytest.approx(1 / (1 + math.exp(1.5)))


def test_an_anchored_judge_extends_to_what_no_human_saw():
    items = [_item(i) for i in range(21)]
    labels = [_label(item, JUDGE, choice="a", p_a=0.9, order_shown=o) for item in items for o in ("ab", "ba")]
    labels += [_label(item, ANN, choice="a" if i < 15 else "b") for i, item in enumerate(items[:20])]
    got = _run(items, labels)
    # Twenty votes and the tied pseudo-vote at the same logit: 15.5 of 21.
    only_judge = got.preferences[-1]
    assert only_judge.p_a == pytest.approx(15.5 / 21)
    assert only_judge.sample_weight == 1.0 and only_judge.human_p_a is None
    assert only_judge.judge_p_a == pytest.approx(0.9)
    with_vote = got.preferences[0].p_a
    assert math.log(with_vote / (1 - with_vote)) == pytest.approx(math.log(4) + math.log(15.5 / 5.5))
    assert got.diagnostics.position_residual.value == pytest.approx(0.0)
    assert got.diagnostics.position_residual.n == 21


def test_a_judge_that_does_not_help_is_left_out():
    items = [_item(i) for i in range(11)]
    labels = [_label(item, JUDGE, choice="a") for item in items]
    labels += [_label(item, ANN, choice="b") for item in items[:10]]
    got = _run(items, labels)
    assert got.preferences[-1].sample_weight == 0.0 and got.preferences[-1].p_a == 0.5
    assert got.preferences[0].p_a == pytest.approx(0.2)
    assert got.diagnostics.judge_weight == 0.0 and "not used" in got.diagnostics.judge_note


def test_vote_share_by_hand():
    items = [_item(i) for i in range(2)]
    labels = [
        _label(items[0], ANN, choice="a"),
        _label(items[0], BEN, choice="a"),
        _label(items[0], JUDGE, choice="b"),
        _label(items[1], JUDGE, choice="b", p_a=0.3),
    ]
    got = _run(items, labels, method="vote_share")
    assert [p.p_a for p in got.preferences] == pytest.approx([2.5 / 3, 0.3])
    assert got.diagnostics.human_reliability is None


def test_held_out_humans_do_not_reach_the_training_targets():
    items = [_item(i, split=("train", "validation", "calibration", "test")[i % 4]) for i in range(80)]
    split = {"train": 0.25, "validation": 0.25, "calibration": 0.25, "test": 0.25}
    judged = [_label(item, JUDGE, choice="a" if i % 3 else "b") for i, item in enumerate(items)]

    def run(held_out_choice):
        votes = []
        for i, item in enumerate(items):
            said = ("a" if i % 5 else "b") if i % 4 == 0 else held_out_choice
            votes += [_label(item, ANN, choice=said), _label(item, BEN, choice=said)]
        return _run(items, judged + votes, split=split)

    one, other = run("a"), run("b")

    def targets(got):
        return [p for p in got.preferences if p.split == "train"]

    assert targets(one) == targets(other) and len(targets(one)) == 20
    assert one.diagnostics.judge_weight == other.diagnostics.judge_weight
    assert one.diagnostics.human_reliability == other.diagnostics.human_reliability


def test_examples_carry_the_texts_and_what_is_simulated():
    items = [_item(i) for i in range(3)]
    got = _run(items, [_label(items[0], ANN, choice="a"), _label(items[2], BOT, choice="a")])
    made = list(examples(items, got))
    assert [example.preference.comparison_id for example in made] == [items[0].comparison.id, items[2].comparison.id]
    assert [example.simulated for example in made] == [False, True]
    assert made[0].response_a == items[0].response_a.text and made[0].prompt == items[0].prompt.messages
    assert (made[0].task, made[0].source) == ("joke", "jokes")
    assert got.diagnostics.simulated == 1


def test_requests_that_cannot_be_met_are_one_clear_error():
    item = _item(0)
    with pytest.raises(ConfigError, match="anchord"):
        _run([item], [_label(item, ANN, choice="a")], method="anchord")
    with pytest.raises(DataError, match="usable label"):
        _run([item], [])
    with pytest.raises(DataError, match="one unit"):
        _run([item], [_label(item, ANN, choice="a")], split={})


def test_ties_are_those_of_people_and_one_vote_of_the_general_rate():
    """Two of four train votes are ties: a rate of one half."""
    items = [_item(i) for i in range(4)]
    labels = [
        _label(items[0], ANN, choice="tie"),
        _label(items[0], BEN, choice="both_bad"),
        _label(items[1], ANN, choice="a"),
        _label(items[2], ANN, choice="b"),
        _label(items[3], JUDGE, choice="tie"),
    ]
    got = _run(items, labels)
    assert got.diagnostics.tie_rate == 0.5
    # Of items 1 and 2 p_a is .8 and .2, which leaves room for ties of .4 and no less than these .25.
    assert [p.p_tie for p in got.preferences] == pytest.approx([2.5 / 3, 0.25, 0.25, 0.5])


def test_judges_alone_say_nothing_of_what_people_said():
    """A judge says the same of two comparisons, and people differ: only the general rate of ties is theirs."""
    items = [_item(i) for i in range(4)]
    labels = [_label(item, JUDGE, choice="a", p_a=0.9) for item in items]
    labels += [_label(items[0], ANN, choice="tie"), _label(items[1], ANN, choice="b")]
    labels += [_label(item, who, choice="a") for item in items[2:] for who in (ANN, BEN)]
    first, second, *_ = _run(items, labels, method="judges_alone").preferences
    assert (first.p_a, first.p_tie, first.sample_weight) == (second.p_a, second.p_tie, second.sample_weight)
    assert first.p_a > 0.5 and first.p_tie == pytest.approx(1 / 6) and first.n_human == 1
