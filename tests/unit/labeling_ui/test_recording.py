"""From answers to records: places become responses, and what an answer replaces is named."""

from __future__ import annotations

from itertools import permutations

import pytest
from pydantic import ValidationError

from labeling_ui.answers import ANSWER, ComparisonAnswer, RankingAnswer, RatingAnswer
from labeling_ui.recording import Circumstances, record
from labeling_ui.subjects import Subject
from rewardkit.types import Comparison, Label, Message, Prompt, Rating, Response

PROMPT = Prompt.of((Message(role="user", content="Write a line."),))


def subject(*texts):
    found = sorted((Response.of(PROMPT.id, text) for text in texts), key=lambda response: response.id)
    return Subject(PROMPT, tuple(found))


def how(*shown, **fields):
    common = {"annotator_id": "ann", "lease_id": "lease", "repeat": 0, "sampling_prob": 0.5, "seconds": 4.0, "at": 0.0}
    return Circumstances(**{**common, "shown": shown, **fields})


def labels(recorded):
    return [each for each in recorded.records if isinstance(each, Label)]


@pytest.mark.parametrize("shown", [(0, 1), (1, 0)])
def test_the_shown_order_is_undone(shown):
    pair = subject("one", "two")
    answer = ComparisonAnswer(choice="first", strength=2, criteria={"wit": "second", "care": "tie"})
    recorded = record(answer, pair, ["wit", "care"], how(*shown))
    (label,) = labels(recorded)
    first, second = ("a", "b") if shown == (0, 1) else ("b", "a")
    assert (label.choice, label.criteria) == (first, {"wit": second, "care": "tie"})
    assert label.order_shown == ("ab" if shown == (0, 1) else "ba") and recorded.choice == first
    assert (label.seconds, label.sampling_prob, label.strength) == (4.0, 0.5, 2)


@pytest.mark.parametrize("shown", list(permutations(range(3))))
def test_a_ranking_is_the_labels_of_its_pairs(shown):
    three = subject("one", "two", "three")
    # The response shown first is best, the other two are equal.
    recorded = record(RankingAnswer(ranks={"1": 1, "2": 2, "3": 2}), three, [], how(*shown))
    best = three.responses[shown[0]].id
    comparisons = {each.id: each for each in recorded.records if isinstance(each, Comparison)}
    assert len(comparisons) == len(labels(recorded)) == 3
    assert len({each.group for each in comparisons.values()}) == 1
    for label in labels(recorded):
        pair = comparisons[label.comparison_id]
        preferred = {pair.response_a: "a", pair.response_b: "b"}.get(best, "tie")
        assert label.choice == preferred
        places = [three.responses[place].id for place in shown]
        first = places.index(pair.response_a) < places.index(pair.response_b)
        assert label.order_shown == ("ab" if first else "ba")
    assert recorded.choice is None and not recorded.abstained


def test_a_ranking_that_cannot_be_made_is_an_abstention_on_each_pair():
    recorded = record(RankingAnswer(ranks=None), subject("one", "two", "three"), [], how(2, 1, 0))
    assert recorded.abstained and [label.status for label in labels(recorded)] == ["abstained"] * 3


def test_ratings_are_one_record_a_criterion():
    answer, one = RatingAnswer(ratings={"wit": 4.0, "care": None}, rationale="fine", reasons=("short",)), subject("one")
    earlier = {f"rating {one.responses[0].id} wit": "old"}
    recorded = record(answer, one, ["wit", "care"], how(0, rubric_version="3", earlier=earlier))
    wit, care = recorded.records
    assert isinstance(wit, Rating) and (wit.criterion, wit.value, wit.status) == ("wit", 4.0, "ok")
    assert (care.value, care.status, care.supersedes) == (None, "abstained", None)
    assert (wit.supersedes, wit.rubric_version, wit.scale) == ("old", "3", (1.0, 5.0))
    assert wit.metadata == {"lease": "lease", "reasons": ["short"]} and not recorded.abstained


def test_an_edit_becomes_a_response_that_is_preferred():
    pair = subject("one", "two")
    edits = {"2": "one, and better", "1": "  "}
    recorded = record(ComparisonAnswer(choice="tie", edits=edits), pair, [], how(1, 0))
    (edited,) = [each for each in recorded.records if isinstance(each, Response)]
    # Shown second was the first of the two.
    assert edited.edited_from == pair.responses[0].id and edited.text == "one, and better"
    about_pair, about_edit = labels(recorded)
    comparison = next(each for each in recorded.records if each.id == about_edit.comparison_id)
    preferred = comparison.response_a if about_edit.choice == "a" else comparison.response_b
    assert preferred == edited.id and about_pair.choice == "tie"
    assert set(recorded.ids) == {about_pair.comparison_id, f"edit {about_edit.comparison_id}"}
    later = how(1, 0, earlier=recorded.ids)
    again = record(ComparisonAnswer(choice="tie", edits={"2": "better still"}), pair, [], later)
    first, edit, withdrawn = labels(again)
    # The earlier edit is not what they stand by any more; the new one is another comparison.
    assert (first.supersedes, edit.supersedes, withdrawn.supersedes) == (about_pair.id, None, about_edit.id)
    assert (withdrawn.comparison_id, withdrawn.status) == (about_edit.comparison_id, "abstained")
    same = record(ComparisonAnswer(choice="tie", edits=edits), pair, [], later)
    assert [label.supersedes for label in labels(same)] == [about_pair.id, about_edit.id]


def test_a_text_that_was_not_changed_is_no_edit():
    pair = subject("one", "two")
    same = {str(place + 1): response.text for place, response in enumerate(pair.responses)}
    assert len(record(ComparisonAnswer(choice="tie", edits=same), pair, [], how(0, 1)).ids) == 1


def test_a_passage_keeps_its_place_only_where_it_stands():
    pair = subject("so *very* good", "bad")
    place = str([response.text for response in pair.responses].index("so *very* good") + 1)
    spans = [
        {"response": place, "start": 3, "end": 7, "quote": "very", "sign": "good", "note": "apt"},
        {"response": place, "start": 0, "end": 4, "quote": "else", "sign": "bad"},
    ]
    answer = ANSWER.validate_python({"task": "comparison", "choice": "tie", "spans": spans})
    (label,) = labels(record(answer, pair, [], how(0, 1)))
    response = pair.responses[int(place) - 1].id
    assert label.spans == (
        {"response": response, "quote": "very", "sign": "good", "note": "apt", "start": 3, "end": 7},
        {"response": response, "quote": "else", "sign": "bad", "note": ""},
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (RankingAnswer(ranks={"1": 1}), "3 responses were shown, and 1 are ranked"),
        (RankingAnswer(ranks={"1": 1, "2": 2, "4": 3}), "no response 4"),
        (ComparisonAnswer(choice="tie", criteria={"other": "tie"}), "nobody asked for other"),
    ],
)
def test_what_does_not_fit_is_refused(answer, problem):
    texts = ("one", "two", "three") if answer.task == "ranking" else ("one", "two")
    with pytest.raises(ValueError, match=problem):
        record(answer, subject(*texts), ["wit"], how(*range(len(texts))))


def test_a_rating_off_the_scale_is_refused():
    with pytest.raises(ValueError, match=r"rating 9 of 'wit' is not on the scale from 1 to 5"):
        record(RatingAnswer(ratings={"wit": 9}), subject("one"), ["wit"], how(0))


@pytest.mark.parametrize(
    "form",
    [
        {"task": "comparison", "choice": "first"},
        {"task": "comparison", "choice": "tie", "strength": 1},
        {"task": "comparison", "choice": "left"},
        {"task": "comparison", "choice": "tie", "identity": "somebody else"},
        {"task": "ranking", "ranks": {"9": 1}},
        {"task": "rating", "ratings": {"wit": float("nan")}},
        {"task": "vote"},
    ],
)
def test_forms_that_say_what_they_may_not(form):
    with pytest.raises(ValidationError):
        ANSWER.validate_python(form)


def test_a_criterion_that_is_not_rated_any_more_is_withdrawn():
    first = record(RatingAnswer(ratings={"wit": 4.0, "care": 2.0}), subject("one"), ["wit", "care"], how(0))
    again = record(RatingAnswer(ratings={"wit": 4.0}), subject("one"), ["wit", "care"], how(0, earlier=first.ids))
    wit, care = again.records
    about = f"rating {wit.response_id}"
    assert (wit.supersedes, care.supersedes) == (first.ids[f"{about} wit"], first.ids[f"{about} care"])
    assert (care.criterion, care.status, care.value) == ("care", "abstained", None)
    assert set(again.ids) == {f"{about} wit"}


@pytest.mark.parametrize("shown", [(0, 1), (1, 0)])
def test_both_responses_of_a_comparison_may_be_rated(shown):
    pair = subject("one", "two")
    ratings = {"1": {"wit": 4.0, "care": 2.0}, "2": {"wit": 1.0}}
    first = record(ComparisonAnswer(choice=None, ratings=ratings), pair, ["wit", "care"], how(*shown, rates=True))
    found = {(each.response_id, each.criterion): each for each in first.records if isinstance(each, Rating)}
    left, right = (pair.responses[place].id for place in shown)
    assert {about: each.value for about, each in found.items()} == {
        (left, "wit"): 4.0,
        (left, "care"): 2.0,
        (right, "wit"): 1.0,
    }
    # Who rates and cannot choose has not chosen.
    assert first.abstained and first.choice is None and labels(first)[0].status == "abstained"
    again = record(
        ComparisonAnswer(choice="tie", ratings={"1": {"wit": 3.0}}),
        pair,
        ["wit"],
        how(*shown, rates=True, earlier=first.ids),
    )
    later = {(each.response_id, each.criterion): each for each in again.records if isinstance(each, Rating)}
    assert {about: (each.status, each.value) for about, each in later.items()} == {
        (left, "wit"): ("ok", 3.0),
        (left, "care"): ("abstained", None),
        (right, "wit"): ("abstained", None),
    }
    assert all(later[about].supersedes == found[about].id for about in later)


@pytest.mark.parametrize(
    ("ratings", "problem"),
    [
        ({"3": {"wit": 1.0}}, "there is no response 3"),
        ({"1": {"wit": 6.0}}, "is not on the scale"),
        ({"1": {"looks": 1.0}}, "nobody asked for looks"),
    ],
)
def test_ratings_of_a_comparison_fit_it(ratings, problem):
    answer = ComparisonAnswer(choice="tie", ratings=ratings)
    with pytest.raises(ValueError, match=problem):
        record(answer, subject("one", "two"), ["wit"], how(0, 1, rates=True))


def test_criteria_are_answered_as_the_study_asks():
    rated = ComparisonAnswer(choice="tie", ratings={"1": {"wit": 1.0}})
    compared = ComparisonAnswer(choice="tie", criteria={"wit": "tie"})
    for answer, rates, problem in ((rated, False, "compared here"), (compared, True, "rated here")):
        with pytest.raises(ValueError, match=f"single criteria are {problem}"):
            record(answer, subject("one", "two"), ["wit"], how(0, 1, rates=rates))
