"""Agreement with people, rivals and the human ceiling: worked by hand, and whatever side is called A."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.audit.judges import audit_pairs, disagreements
from rewardkit.audit.pairs import ceiling, pair_agreement, rivals
from rewardkit.audit.results import Finding, Level

MADE = runpy.run_path(str(Path(__file__).parents[2] / "audited.py"))
pair, vote, turned, any_cases = (MADE[name] for name in ("pair", "vote", "turned", "any_cases"))
LEVEL = Level(resamples=100)
# What is about A itself, and what trades places with it.
ABOUT_A = {"a_first", "b_first"}


def value(finding):
    return finding.estimate.value


def test_accuracy_and_ties_by_hand():
    # Majorities A, A, B, tie (one each), A; the judge says A, B, tie, A, A.
    cases = [
        pair(1.0, [1.0, 1.0, 0.0], unit="1"),
        pair(0.0, [1.0, 0.5], unit="2"),
        pair(0.5, [0.0], unit="3"),
        pair(1.0, [1.0, 0.0], unit="4"),
        pair(1.0, [1.0], unit="5"),
        pair(1.0, unit="6"),
    ]
    found = pair_agreement("all", cases, LEVEL)
    # Decided: 1, 2, 3, 5: right, wrong, half, right. Where the judge prefers one: 1, 2, 5. Nobody voted on 6.
    assert value(found.accuracy) == 2.5 / 4 and found.accuracy.estimate.n == 4
    assert value(found.accuracy_decided) == 2 / 3 and found.accuracy_decided.estimate.n == 3
    assert value(found.ties_human) == value(found.ties_judge) == 1 / 5 and found.ties_judge.estimate.n == 5


def test_two_orders_are_averaged_before_the_verdict():
    # .9 and .3: log odds 2.197 and −0.847 have a mean above 0; words that contradict each other make a tie.
    assert pair({"ab": 0.9, "ba": 0.3}).choice == 1 and pair({"ab": 1.0, "ba": 0.0}).choice == 0
    assert pair({"ab": 0.9, "ba": 0.3}).p_a == pytest.approx(1 / (1 + math.sqrt(7 / 27)))


def test_a_judge_that_copies_the_majority_is_always_right():
    cases = [pair({"ab": side, "ba": side}, [side] * 3, unit=f"u{i}") for i, side in enumerate([1.0, 0.0] * 10)]
    found = audit_pairs(cases, None, LEVEL)
    agreed = found.overall
    assert value(agreed.accuracy) == value(agreed.accuracy_decided) == value(agreed.kappa) == value(agreed.ac1) == 1
    assert value(agreed.alpha) == 1 and value(found.position.consistency) == 1
    # It agrees with the others exactly as often as each person does, and its perfection is known to twenty prompts.
    assert value(found.ceiling.accuracy) == value(found.ceiling.judge) == 1 and value(found.ceiling.lead) == 0
    low = 0.025 ** (1 / 20)
    assert found.ceiling.lead.estimate.high == pytest.approx(2 * (1 - low))
    assert agreed.accuracy.estimate.low == pytest.approx(low)
    assert agreed.kappa.estimate.low == pytest.approx(2 * low - 1)


def test_the_ceiling_by_hand():
    # x: A A B. Against (A, B), a tie, twice; the third against (A, A): wrong. The judge says A: right.
    # y: B B: each is right, and so is the judge. A majority is no single person.
    cases = [
        pair(1.0, [1.0, 1.0, 0.0], unit="x"),
        pair(0.0, [0.0, 0.0], unit="y"),
        pair(1.0, [vote(1.0, "all", aggregate=True), vote(0.0, "kim")], unit="z"),
    ]
    found = ceiling(cases, LEVEL)
    assert (value(found.accuracy), value(found.judge), value(found.lead)) == (0.5, 1.0, 0.5)
    assert found.accuracy.estimate.n == 2
    alone = ceiling(cases[2:], LEVEL).accuracy
    assert alone == Finding(None, "not measurable: no comparison was answered by two people (n = 1)")


def test_rivals_by_hand():
    cases = [
        pair({"ab": 1.0}, [1.0], unit="x", doublings=1.0),
        pair({"ba": 1.0}, [1.0], unit="y", doublings=-1.0),
        pair({"ab": 0.0, "ba": 0.0}, [0.0], unit="z", doublings=0.0),
    ]
    longer, first, always_a = rivals(cases, LEVEL)
    assert value(longer.accuracy) == (1 + 0 + 0.5) / 3 and value(longer.lead) == pytest.approx(0.5)
    assert value(first.accuracy) == (1 + 0 + 0.5) / 3 and value(always_a.accuracy) == pytest.approx(2 / 3)
    assert value(longer.judge) == 1 and always_a.lead.estimate.n == 3


def test_what_cannot_be_measured_says_why_and_of_how_many():
    for found in (audit_pairs([pair(1.0)], None, LEVEL), audit_pairs([pair(1.0, [1.0, 0.0])], "gpt", LEVEL)):
        told = json.dumps(found.to_json())
        missing = [part for part in told.split('"note": "')[1:] if part.startswith("not measurable")]
        assert missing and all("(n = " in part for part in missing)


@given(any_cases(), st.data())
@settings(max_examples=40)
def test_whichever_side_is_called_a(cases, data):
    """Some comparisons turned round change no figure but those about A itself."""
    some = data.draw(st.lists(st.booleans(), min_size=len(cases), max_size=len(cases)))
    other = [turned(case) if turn else case for case, turn in zip(cases, some, strict=True)]
    one, two = (audit_pairs(each, "gpt", LEVEL).to_json() for each in (cases, other))
    same(one, two)


@given(any_cases())
@settings(max_examples=20)
def test_everything_turned_round_exchanges_the_two_orders(cases):
    one, two = (audit_pairs(each, None, LEVEL).position for each in (cases, [turned(case) for case in cases]))
    same(one.a_first.to_json(), two.b_first.to_json())
    same(one.b_first.to_json(), two.a_first.to_json())


def same(one, two):
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        if one.get("name") != "always A":
            for key in one.keys() - ABOUT_A:
                same(one[key], two[key])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            same(left, right)
    elif isinstance(one, float):
        assert one == pytest.approx(two, abs=1e-6)
    else:
        assert one == two


@given(any_cases())
@settings(max_examples=40)
def test_every_number_has_an_n_and_lies_in_its_interval(cases):
    def look(value):
        if isinstance(value, dict) and value.keys() == {"estimate", "note"}:
            known = value["estimate"]
            assert known or "(n = " in value["note"]
            if known:
                assert known["n"] >= known["n_units"] >= 1
                assert (known["low"] is None) or known["low"] <= known["value"] + 1e-9
                assert (known["high"] is None) or known["value"] <= known["high"] + 1e-9
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(inner)

    look(audit_pairs(cases, "gpt", LEVEL).to_json())


def test_groups_that_see_it_on_opposite_sides_are_named():
    def votes(expert, crowd):
        return [vote(expert, "e", "experts"), vote(crowd, "c", "crowd")]

    cases = [pair(1.0, votes(0.0, 1.0), unit=f"u{i}") for i in range(30)]
    found = audit_pairs(cases, None, LEVEL)
    assert [(part.name, value(part.accuracy)) for part in found.by_group] == [("crowd", 1.0), ("experts", 0.0)]
    [opposed] = disagreements(found, ())
    assert opposed.certain and [name for name, _ in opposed.above] == ["crowd"]
    assert [name for name, _ in opposed.below] == ["experts"] and opposed.middle == 0.5
    both = audit_pairs([pair(1.0, votes(1.0, 1.0), unit=f"u{i}") for i in range(30)], None, LEVEL)
    assert disagreements(both, ()) == ()


def test_tasks_stand_apart():
    cases = [
        pair(1.0, [float(task == "joke")], unit=f"{task}{i}", task=task) for task in ("joke", "poem") for i in (1, 2)
    ]
    found = audit_pairs(cases, None, LEVEL).by_task
    assert [(part.name, value(part.accuracy)) for part in found] == [("joke", 1.0), ("poem", 0.0)]
