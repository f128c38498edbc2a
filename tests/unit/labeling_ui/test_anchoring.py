"""How far a judge's words move people, from the trail of their reviews."""

from __future__ import annotations

import pytest

from labeling_ui.admin_progress import progress_view
from labeling_ui.anchoring import Moved, anchoring, measured
from labeling_ui.answered import AnswerReader
from labeling_ui.answers import ComparisonAnswer
from labeling_ui.reviewing import Decision
from rewardkit.label_config import AssignmentConfig, ReviewConfig
from rewardkit.types import Annotator, Label

JUDGE = Annotator.of("judge", "wise")
ONCE = AssignmentConfig(overlap=1, most_overlap=1, repeats=0.0)


def test_moves_are_counted_by_where_they_began():
    moves = [
        Moved("p1", "a", "b", "b"),
        Moved("p2", "a", "b", "a"),
        Moved("p3", "a", "b", "tie"),
        Moved("p4", "b", "b", "b"),
        Moved("p5", "b", "b", "a"),
        Moved("p6", "tie", None, "a"),
        Moved("p7", None, "a", "a"),
        Moved("p8", "a", "a", None),
    ]
    found = measured(moves, {}, 0)
    # Those without a choice before or after are in none of them.
    assert (found.changed.hits, found.changed.n) == (4, 6)
    assert (found.followed.hits, found.followed.n) == (1, 3)
    assert (found.left.hits, found.left.n) == (1, 2)
    assert (found.agreed_before.hits, found.agreed_before.n) == (2, 5)
    assert (found.agreed_after.hits, found.agreed_after.n) == (2, 5)
    low, high = found.changed.interval
    assert 0 < low < 4 / 6 < high < 1


@pytest.fixture
def reviewed(desk, settle, stock, comparisons, join, clock):
    """Somebody who says blind that b is better, and follows a judge who prefers a on every other item."""
    settle(review=ReviewConfig(judge="wise", share=1.0), assignment=ONCE)
    found = comparisons(8)
    desk.store.add([JUDGE, *(Label.of(each, JUDGE.id, choice="a", p_a=0.9) for each in found)])
    stock(found.values())
    person = join("ann")
    for number in range(8):
        lease = desk.next(person)
        shown = {
            "a": "first" if lease.shown == (0, 1) else "second",
            "b": "second" if lease.shown == (0, 1) else "first",
        }
        clock.now += 30
        desk.submit(lease.id, person, ComparisonAnswer(choice=shown["b"], strength=3))
        said = ComparisonAnswer(choice=shown["a"] if number % 2 else shown["b"], strength=1)
        decision = Decision(decision="verified" if number % 2 else "rejected")
        desk.review(lease.id, person, said, {"verdict": decision})
    return person


def test_reviews_are_read_from_the_trail(desk, reviewed):
    found = anchoring(desk.store, "study")
    assert (found.changed.hits, found.changed.n, found.changed.prompts) == (4, 8, 8)
    assert (found.followed.hits, found.followed.n, found.left.n) == (4, 8, 0)
    assert (found.agreed_before.value, found.agreed_after.value) == (0.0, 0.5)
    assert found.points == {"verified": 4, "rejected": 4} and found.failed == 0
    assert anchoring(desk.store, "other") is None


def test_what_else_is_counted_stays_blind(desk, reviewed):
    """A choice and its strength come from one answer, and not from two."""
    answers = AnswerReader(desk.store, "study").read()
    assert [(each.choice, abs(each.graded)) for each in answers] == [("b", 3.0)] * 8


def test_researchers_are_shown_them(desk, reviewed, office):
    page = progress_view(office)
    assert "took its choice over" in page and "4 were found right, 0 not quite, 4 wrong." in page
