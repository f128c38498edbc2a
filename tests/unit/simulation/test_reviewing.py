"""What personas make of a judge's points: deference decides on the choice, and the points follow from it."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from labeling_ui.answers import ANSWER
from labeling_ui.reviewing import Decision, Opinion, points_of
from labeling_ui.subjects import Subject
from rewardkit.errors import JobFailed
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.personas import Persona
from rewardkit.simulation.reviewing import review_of
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Rating, Response

BLIND = {"task": "comparison", "choice": "first", "strength": 3, "rationale": "my own words", "reasons": ["funnier"]}


def persona(name="p", **settings):
    return Persona(SimulatedAnnotatorConfig(name=name, **settings), name, 0)


def turn(points, blind=BLIND, number=0):
    shown = [{"text": f"text {number} {place}", "html": ""} for place in (1, 2)]
    said = [{"id": name, "text": text, "html": text, "note": ""} for name, text in points.items()]
    return {"step": "review", "item": {"lease": "l", "responses": shown, "answer": blind}, "points": said}


def said(who, points, **more):
    found = review_of(who, turn(points, **more))
    ANSWER.validate_python(found.answer)
    for each in found.points.values():
        Decision.model_validate(each)
    assert set(found.points) == set(points)
    return found


AGAINST = {
    "verdict": "Response 2 is better (80% sure).",
    "critique 1": "The second one has rhythm.",
    "criterion craft": "craft: Response 1",
    "criterion wit": "wit: no difference",
    "rating clarity": "clarity (1 to 5): 2.5 for Response 1, 4 for Response 2",
}


def test_who_defers_takes_the_judges_choice_over_slightly_and_keeps_the_rest_of_the_answer():
    found = said(persona(deference=1.0), AGAINST)
    assert found.followed and found.answer == {**BLIND, "choice": "second", "strength": 1}
    assert found.points == {
        "verdict": {"decision": "verified"},
        "critique 1": {"decision": "verified"},
        "criterion craft": {"decision": "edited", "text": "craft: Response 2"},
        "criterion wit": {"decision": "edited", "text": "wit: Response 2"},
        "rating clarity": {"decision": "verified"},
    }


def test_who_does_not_stays_and_says_what_is_wrong():
    found = said(persona(deference=0.0), AGAINST)
    assert not found.followed and found.answer == BLIND
    assert found.points == {
        "verdict": {"decision": "rejected"},
        "critique 1": {"decision": "rejected"},
        "criterion craft": {"decision": "verified"},
        "criterion wit": {"decision": "edited", "text": "wit: Response 1"},
        "rating clarity": {"decision": "edited", "text": "clarity (1 to 5): 4 for Response 1, 2.5 for Response 2"},
    }


@pytest.mark.parametrize("deference", [0.0, 0.3, 1.0])
def test_deference_is_the_share_of_choices_that_are_taken_over(deference):
    found = [said(persona(deference=deference), AGAINST, number=n).followed for n in range(800)]
    # Four standard errors of a share.
    assert mean(found) == pytest.approx(deference, abs=4 * math.sqrt(deference * (1 - deference) / 800))


def test_who_agrees_already_was_not_moved():
    found = said(persona(deference=1.0), {"verdict": "Response 1 is better."})
    assert not found.followed and found.answer == BLIND and found.points["verdict"] == {"decision": "verified"}


def test_a_tie_is_taken_over_without_a_strength_and_one_can_be_given_up():
    found = said(persona(deference=1.0), {"verdict": "Both responses are about equally good."})
    assert found.followed and (found.answer["choice"], found.answer["strength"]) == ("tie", None)
    tied = {"task": "comparison", "choice": "tie", "strength": None}
    found = said(persona(deference=1.0), {"verdict": "Response 2 is better."}, blind=tied)
    assert (found.answer["choice"], found.answer["strength"]) == ("second", 1)
    ratings = {
        "rating wit": "wit (1 to 5): 2 for Response 1, 3 for Response 2",
        "criterion craft": "craft: no difference",
    }
    found = said(persona(deference=0.0), ratings, blind=tied)
    assert {each["decision"] for each in found.points.values()} == {"verified"}


def test_points_without_a_verdict_move_nobody():
    found = said(persona(deference=1.0), {"critique 1": "Both are short."})
    assert not found.followed and found.answer == BLIND and found.points["critique 1"] == {"decision": "verified"}


def test_a_spammer_finds_everything_right_and_changes_nothing():
    found = said(persona(spam="first", deference=1.0), AGAINST)
    assert found.answer == BLIND and not found.followed
    assert {each["decision"] for each in found.points.values()} == {"verified"}


@pytest.mark.parametrize(("p_a", "verdict"), [(0.8, "first"), (0.3, "second"), (0.501, "tie")])
def test_the_page_words_its_points_so_that_personas_know_them(p_a, verdict):
    prompt = Prompt.of((Message(role="user", content="Tell me a joke."),))
    a, b = sorted((Response.of(prompt.id, text) for text in ("one", "two")), key=lambda each: each.id)
    judge = Annotator.of("judge", "wise")
    pair = Comparison.of(prompt.id, a.id, b.id)
    label = Label.of(pair.id, judge.id, choice="a", p_a=p_a, criteria={"craft": "b"}, rationale="A scans.")
    rated = [
        Rating.of(each.id, judge.id, criterion="wit", value=value, scale=(1.0, 5.0))
        for each, value in ((a, 2.5), (b, 4.0))
    ]
    points = points_of(Opinion([label], rated), Subject(prompt, (a, b)), (0, 1))
    shown = {point.id: point.text for point in points}
    assert list(shown) == ["verdict", "critique 1", "criterion craft", "rating wit"]
    found = said(persona(deference=1.0), shown, blind={**BLIND, "choice": "first" if verdict == "second" else "second"})
    assert found.followed and found.answer["choice"] == verdict
    kinds = {name: each["decision"] for name, each in found.points.items()}
    fits = {"first": "edited", "second": "verified"}
    assert kinds["verdict"] == kinds["critique 1"] == "verified"
    assert kinds["criterion craft"] == fits.get(verdict, "edited")
    assert kinds["rating wit"] == fits.get(verdict, "verified")


def test_a_verdict_in_other_words_is_one_clear_error():
    with pytest.raises(JobFailed, match="no persona knows: 'I like it'"):
        review_of(persona(), turn({"verdict": "I like it"}))
