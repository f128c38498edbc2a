"""Personas in a conversation: what they say and when they go, and that taste alone picks."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from labeling_ui.answers import ANSWER
from labeling_ui.rendering import safe_html
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.personas import Persona
from rewardkit.simulation.talking import message_of, pick_of, replies_of


def persona(name="p", **settings):
    return Persona(SimulatedAnnotatorConfig(name=name, **settings), name, 0)


def chat(*replies, turn=1, number=1, may_end=True):
    shown = [{"html": safe_html(text)} for text in replies]
    return {"turn": turn, "number": number, "may_end": may_end, "replies": shown}


def pick(who, *replies):
    answer = pick_of(who, chat(*replies), 0)
    ANSWER.validate_python(answer)
    return answer


def test_messages_are_said_in_turn_and_another_conversation_begins_with_another():
    who = persona(messages=("one", "two"))
    assert [message_of(who, chat(turn=turn)) for turn in (1, 2, 3)] == ["one", "two", None]
    assert [message_of(who, chat(turn=turn, number=2)) for turn in (1, 2, 3)] == ["two", "one", None]
    # Where it is too early to go they begin again.
    assert message_of(who, chat(turn=3, may_end=False)) == "one"


def test_replies_are_weighed_by_what_they_say_and_not_by_their_markup():
    assert replies_of(chat("**bold** & *bright*", "a < b")) == ["bold & bright", "a < b"]


def test_the_longer_reply_is_picked_as_often_as_the_bias_says():
    short, long = "x" * 40, "y" * 160
    found = [pick(persona(f"l{n}", length_bias=0.5), short, long)["choice"] == "second" for n in range(600)]
    # Two doublings at .5 logits each: 1/(1 + e^−1) = .731, within four standard errors.
    assert mean(found) == pytest.approx(0.731, abs=4 * math.sqrt(0.731 * 0.269 / 600))


def test_no_level_of_quality_has_a_say():
    found = [pick(persona(f"r{n}", reliability=99.0), "x" * 40, "y" * 40)["choice"] == "first" for n in range(600)]
    assert mean(found) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(600))
    assert pick(persona(position_bias=50.0), "one", "two") == {"task": "comparison", "choice": "first", "strength": 3}
    assert pick(persona(tie_width=1.0), "one", "two") == {"task": "comparison", "choice": "tie", "strength": None}
    assert pick(persona(spam="second"), "one", "two")["choice"] == "second"
