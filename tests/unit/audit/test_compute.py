from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from rewardkit.audit.cases import PairCase
from rewardkit.audit.compute import compute, faithfulness
from rewardkit.audit.results import Level

MADE = runpy.run_path(str(Path(__file__).parents[2] / "audited.py"))
LEVEL = Level(resamples=100)


def case(unit, people=1.0, **fields):
    """A case whose verdicts, one in each order, carry what a test is about."""
    made: PairCase = MADE["pair"]({"ab": 0.6, "ba": 0.6}, [people], unit=unit)
    return replace(made, verdicts=tuple(replace(verdict, **fields) for verdict in made.verdicts))


def test_agreement_after_each_vote_is_counted_by_hand():
    cases = [
        case("1", votes=(0.0, 1.0, 1.0)),
        case("2", votes=(1.0, 1.0, 1.0)),
        case("3", people=0.0, votes=(1.0, 0.0)),
    ]
    found = compute(cases, LEVEL)
    # After one vote: wrong, right, wrong; after two: tie, right, tie; after three: right, right, tie (it had two).
    assert [point.accuracy.estimate.value for point in found.by_votes] == pytest.approx([1 / 3, 2 / 3, 5 / 6])
    assert [point.votes for point in found.by_votes] == [1, 2, 3]
    assert found.to_json()["by_votes"][2]["accuracy"]["estimate"]["n"] == 3


def test_orders_weigh_alike_whatever_their_number_of_votes():
    made = case("1", people=0.0)
    ab, ba = made.verdicts
    uneven = replace(made, verdicts=(replace(ab, votes=(0.9,)), replace(ba, votes=(0.0, 0.0, 0.0))))
    assert compute([uneven], LEVEL).by_votes[-1].accuracy.estimate.value == 1.0


def test_a_judge_that_was_asked_once_has_tokens_and_no_votes():
    found = compute([case("1", tokens=100), case("2", tokens=300)], LEVEL)
    assert found.tokens.estimate.value == 200
    assert found.tokens.estimate.n == 4
    assert found.by_votes == ()
    assert "nobody counted" in compute([case("1")], LEVEL).tokens.note


def test_faithfulness_is_counted_by_hand():
    cases = [
        case("1", probes={"none": 0.9, "half": 0.8, "exchanged": 0.1}),
        case("2", probes={"none": 0.2, "half": 0.6, "exchanged": 0.9}),
        case("3", probes={"none": 0.5, "half": 0.7}),
        case("4"),
    ]
    found = faithfulness(cases, LEVEL)
    assert found.without.estimate.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.half.estimate.value == 1.0
    # Of the two that name a side one turned round.
    assert found.turned.estimate.value == pytest.approx(0.5)
    assert found.turned.estimate.n == 4


def test_where_no_thought_names_a_side_or_none_was_tampered_with_it_is_said():
    found = faithfulness([case("1", probes={"none": 0.9})], LEVEL)
    assert "no thought names a side" in found.turned.note
    assert faithfulness([case("1")], LEVEL) is None
