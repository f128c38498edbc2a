"""Assisted review: the arm is drawn and recorded, a judge's words become points, and both answers are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling_ui.answers import ComparisonAnswer
from labeling_ui.people import Refused
from labeling_ui.reviewing import Decision, Opinion, arm_of, opinion_of, points_of, require_decided
from labeling_ui.subjects import load_subject
from rewardkit.label_config import ReviewConfig
from rewardkit.types import Annotator, Label, Rating

TIE = ComparisonAnswer(choice="tie")
FIRST = ComparisonAnswer(choice="first", strength=3)
JUDGE = Annotator.of("judge", "wise", model="m", protocol="pairwise.v1")
VERIFIED = Decision(decision="verified")


@given(st.floats(0, 1), st.text(max_size=5), st.text(max_size=5))
def test_the_arm_is_drawn_once_for_all(share, item, person):
    config = ReviewConfig(judge="wise", share=share)
    assert arm_of(config, "s", item, person) == arm_of(config, "s", item, person)
    assert arm_of(replace_share(config, 1.0), "s", item, person) == "review"
    assert arm_of(replace_share(config, 0.0), "s", item, person) == "blind"


def replace_share(config, share):
    return config.model_copy(update={"share": share})


def test_as_many_review_as_the_share_says():
    config = ReviewConfig(judge="wise", share=0.3)
    drawn = [arm_of(config, "s", f"i{n}", "p") for n in range(2000)]
    # Four standard errors of a share of .3 among 2,000.
    assert abs(drawn.count("review") / 2000 - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5


@pytest.fixture
def judged(store, comparisons):
    """Two comparisons, of which a judge has labelled the first in both orders."""
    ids = comparisons(2)
    first = next(iter(ids))
    a, b = ids[first]
    said = [
        Label.of(first, JUDGE.id, choice="a", p_a=0.9, order_shown="ab", rationale="A is vivid.\n\nB is flat."),
        Label.of(
            first, JUDGE.id, choice="a", p_a=0.7, order_shown="ba", rationale="B is vivid.", criteria={"wit": "b"}
        ),
        Label.of(first, JUDGE.id, status="failed", reason="no reply", order_shown="ab", repeat=1),
    ]
    rated = [Rating.of(r, JUDGE.id, "care", value=v, scale=(1, 5)) for r, v in ((a, 4.0), (b, 2.5))]
    store.add([JUDGE, *said, *rated])
    return ids


def test_a_models_name_stands_for_all_that_it_said(store, judged):
    """Preferences and ratings come from two judges of one model, by their protocols."""
    first = next(iter(judged.values()))
    rater = Annotator.of("judge", "m/rating.v1", model="m", protocol="rating.v1")
    store.add([rater, Rating.of(first[0], rater.id, "wit", value=5.0, scale=(1, 5))])
    with store.reading() as connection:
        subject = load_subject(connection, first)
        assert {each.criterion for each in opinion_of(connection, "m", subject).ratings} == {"care", "wit"}
        assert {each.criterion for each in opinion_of(connection, "wise", subject).ratings} == {"care"}


@pytest.mark.parametrize(
    ("shown", "points"),
    [
        (
            (0, 1),
            [
                ("verdict", "Response 1 is better (80% sure)."),
                ("critique 1", "A is vivid."),
                ("critique 2", "B is flat."),
                ("criterion wit", "wit: Response 2"),
                ("rating care", "care (1 to 5): 4 for Response 1, 2.5 for Response 2"),
            ],
        ),
        # Shown the other way round: the judge's words of that order, in which its A is the annotator's Response 1.
        (
            (1, 0),
            [
                ("verdict", "Response 2 is better (80% sure)."),
                ("critique 1", "B is vivid."),
                ("criterion wit", "wit: Response 1"),
                ("rating care", "care (1 to 5): 2.5 for Response 1, 4 for Response 2"),
            ],
        ),
    ],
)
def test_a_judges_words_become_points(store, judged, shown, points):
    first, second = judged.values()
    with store.reading() as connection:
        subject = load_subject(connection, first)
        opinion = opinion_of(connection, "wise", subject)
        assert opinion_of(connection, "wise", load_subject(connection, second)) is None
        assert opinion_of(connection, "other", subject) is None
    assert [(point.id, point.text) for point in points_of(opinion, subject, shown)] == points
    # Asked in one order only, its letters mean the other response to whoever sees the other order.
    once = Opinion([each for each in opinion.labels if each.order_shown == "ab"], [])
    (note,) = [point.note for point in points_of(once, subject, shown) if point.id == "critique 1"]
    first, second = ("1", "2") if shown == (0, 1) else ("2", "1")
    assert note == f"The model calls Response {first} A, and Response {second} B."


def test_a_blind_answer_is_followed_by_the_review_and_both_are_kept(desk, clock, settle, stock, judged, join):
    settle(review=ReviewConfig(judge="wise", share=1.0))
    stock(judged.values())
    person = join("ann")
    judged_first = next(iter(judged.values()))
    lease = desk.next(person)
    while lease.responses != judged_first:
        # What the judge said nothing of is not reviewed.
        lease = desk.submit_and_next(lease.id, person, TIE)
    clock.now += 30
    assert lease.arm == "review" and desk.submit_and_next(lease.id, person, TIE) is None
    with pytest.raises(Refused, match="latest 10"):
        # What was said blind stays what was said blind.
        desk.revise(lease.id, person, FIRST)
    again, points = desk.reviewing(person)
    assert again.id == lease.id and desk.next(person) is None
    decisions = {point.id: VERIFIED for point in points} | {"verdict": Decision(decision="edited", text="Slightly.")}
    with pytest.raises(Refused, match="not decided: verdict"):
        desk.review(lease.id, person, FIRST, {k: v for k, v in decisions.items() if k != "verdict"})
    clock.now += 7
    desk.review(lease.id, person, FIRST, decisions)
    assert desk.reviewing(person) is None
    with pytest.raises(Refused, match="nothing to review"):
        desk.review(lease.id, person, FIRST, decisions)
    human = [each for each in desk.store.labels(superseded=True) if each.annotator_id != JUDGE.id]
    blind, reviewed = sorted((e for e in human if e.metadata["lease"] == lease.id), key=lambda e: e.created_at)
    assert (blind.choice, blind.seconds, blind.metadata["arm"]) == ("tie", 30.0, "review")
    assert (reviewed.supersedes, reviewed.seconds, reviewed.metadata["judge"]) == (blind.id, 7.0, "wise")
    assert reviewed.metadata["points"]["verdict"] == {"decision": "edited", "text": "Slightly."}
    assert reviewed.metadata["blind"] == {blind.comparison_id: blind.id}


def test_the_other_arm_sees_nothing_and_says_so(desk, settle, stock, judged, join):
    settle(review=ReviewConfig(judge="wise", share=0.0))
    stock(judged.values())
    person = join("ann")
    desk.submit_and_next(desk.next(person).id, person, TIE)
    assert desk.reviewing(person) is None
    assert [e.metadata["arm"] for e in desk.store.labels() if e.annotator_id != JUDGE.id] == ["blind"]


def test_decisions_fit_the_points(store, judged):
    with store.reading() as connection:
        subject = load_subject(connection, next(iter(judged.values())))
        points = points_of(opinion_of(connection, "wise", subject), subject, (0, 1))[:1]
    require_decided(points, {"verdict": VERIFIED})
    for decisions, problem in (
        ({}, "not decided: verdict"),
        ({"verdict": VERIFIED, "else": VERIFIED}, "did not say else"),
        ({"verdict": Decision(decision="edited", text=" ")}, "corrected into nothing"),
    ):
        with pytest.raises(ValueError, match=problem):
            require_decided(points, decisions)
