"""Ratings of responses on the human scale: what people said, and what judges say on a line fitted to it."""

import pytest

from rewardkit.aggregation.ratings import rate
from rewardkit.aggregation.splits import Placement
from rewardkit.types import Annotator, Rating

ANN, BEN = (Annotator.of("human", name) for name in ("ann", "ben"))
JUDGE = Annotator.of("judge", "j", protocol="process.v1")
ALL = [ANN, BEN, JUDGE]
TRAIN = {f"r{i}": Placement(f"u{i}", "train") for i in range(12)}


def rating(response, who, value, criterion="wit", scale=(1.0, 5.0), **fields):
    return Rating.of(response, who.id, criterion, value=value, scale=scale, **fields)


def values(found, response):
    return {(each.criterion, each.end): (each.value, each.n_human, each.n_judge) for each in found.ratings[response]}


def test_people_by_hand():
    first = rating("r0", ANN, 5.0)
    said = [
        first,
        rating("r0", ANN, 2.0, supersedes=first.id),
        rating("r0", BEN, 7.0, scale=(0.0, 10.0)),
        rating("r0", BEN, 3.0, scale=(0.0, 10.0), repeat=1),
        rating("r0", ANN, 1.0, criterion="form"),
        rating("r1", ANN, None, status="failed"),
        rating("elsewhere", ANN, 5.0),
    ]
    found = rate(said, ALL, TRAIN, "anchored")
    # ann: (2 − 1) / 4; ben: the mean of .7 and .3.
    assert values(found, "r0") == {("form", None): (0.0, 1, 0), ("wit", None): (pytest.approx(0.375), 2, 0)}
    assert found.ratings.keys() == {"r0"}
    assert found.criteria["wit"].responses == found.criteria["wit"].by_human == 1
    assert found.criteria["wit"].judge_note == "no judge has rated"


def judged(slope, responses=11, people=11, **fields):
    """Ratings of both: people say .2 + slope · judge, on a scale from 0 to 1."""
    for i in range(responses):
        yield rating(f"r{i}", JUDGE, i / 10, scale=(0.0, 1.0), **fields)
        if i < people:
            yield rating(f"r{i}", ANN, 0.2 + slope * i / 10, scale=(0.0, 1.0))


def test_a_judge_is_brought_onto_the_peoples_scale():
    alone = rating("r11", JUDGE, 0.8, scale=(0.0, 1.0), metadata={"paragraphs": [{"start": 0, "end": 9, "level": 0.4}]})
    found = rate([*judged(0.5), alone], ALL, TRAIN, "anchored")
    assert values(found, "r11") == {
        ("wit", None): (pytest.approx(0.6), 0, 1),
        ("wit", 9): (pytest.approx(0.4), 0, 1),
    }
    assert values(found, "r4") == {("wit", None): (pytest.approx(0.4), 1, 0)}
    learnt = found.criteria["wit"]
    assert (learnt.responses, learnt.by_human, learnt.by_both) == (12, 11, 11)
    assert learnt.judge_slope == pytest.approx(0.5) and learnt.judge_slope_estimate.n_units == 11


def test_repeats_of_a_judge_are_one_value_and_others_metadata_is_their_own():
    parts = [{"start": 0, "end": 9, "level": level} for level in (0.2, 0.6)]
    twice = [
        rating("r11", JUDGE, 0.8, scale=(0.0, 1.0), repeat=i, metadata={"paragraphs": [part]})
        for i, part in enumerate(parts)
    ]
    other = Annotator.of("judge", "k", protocol="mine.v1")
    odd = rating("r10", other, 1.0, scale=(0.0, 1.0), metadata={"paragraphs": "three"})
    found = rate([*judged(0.5), *twice, odd], [*ALL, other], TRAIN, "anchored")
    assert values(found, "r11")["wit", 9] == (pytest.approx(0.4), 0, 1)


def test_with_judges_alone_people_say_what_they_are_worth_and_no_more():
    found = rate(judged(0.5), ALL, TRAIN, "judges_alone")
    assert values(found, "r4") == {("wit", None): (pytest.approx(0.4), 0, 1)}
    assert found.criteria["wit"].by_human == 0 and found.criteria["wit"].by_both == 11


def test_what_leaves_the_scale_is_kept_on_it():
    steep = [rating(f"r{i}", who, value, scale=(0.0, 1.0)) for i in range(10) for who, value in both(i)]
    found = rate([*steep, rating("r11", JUDGE, 1.0, scale=(0.0, 1.0))], ALL, TRAIN, "anchored")
    assert values(found, "r11")["wit", None] == (1.0, 0, 1)


def both(i):
    return (ANN, i / 9), (JUDGE, 0.4 + 0.02 * i)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (judged(-0.2), "do not rise with the people's"),
        (judged(0.5, people=9), "9 train responses have human and judge ratings, of at least 10"),
        ((rating(f"r{i}", who, 3.0 + (who is ANN) * i / 9) for i in range(10) for who in (ANN, JUDGE)), "all alike"),
    ],
)
def test_judges_that_cannot_be_placed_are_not_used(said, why):
    found = rate([*said, rating("r11", JUDGE, 0.9)], ALL, TRAIN, "anchored")
    assert "r11" not in found.ratings and why in found.criteria["wit"].judge_note
    assert found.criteria["wit"].judge_slope == 0.0


def test_held_out_ratings_teach_nothing():
    held = {key: Placement(each.unit, "test") for key, each in TRAIN.items()}
    found = rate([*judged(0.5), rating("r11", JUDGE, 0.9)], ALL, held, "anchored")
    assert found.criteria["wit"].by_both == 0 and "r11" not in found.ratings


def test_the_plain_baseline_takes_judges_at_their_word():
    found = rate([rating("r11", JUDGE, 4.0)], ALL, TRAIN, "vote_share")
    assert values(found, "r11") == {("wit", None): (0.75, 0, 1)}
