"""Conversations in the database: one step at a time, under its token, and nothing twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from labeling_ui.answers import ComparisonAnswer, RatingAnswer
from labeling_ui.breaks import pause, resume
from labeling_ui.conversations import Conversations
from labeling_ui.people import People, Refused
from labeling_ui.talk import Asked, Reply
from rewardkit.label_config import ChatConfig
from rewardkit.store.labelling_tables import conversations as table
from rewardkit.store.labelling_tables import events

FIRST = ComparisonAnswer(choice="first", strength=3)
TIE, BAD, UNSURE = (ComparisonAnswer(choice=choice) for choice in ("tie", "both_bad", None))
CONFIG = ChatConfig(most_turns=3, least_turns=1, conversations=2, longest_message=20, system="Be brief.")


@pytest.fixture
def talk(desk):
    return Conversations(desk, CONFIG)


@pytest.fixture
def person(desk, join):
    ann = join("ann")
    People(desk.store, desk.study.name, desk.clock).keep(ann, "consented", lambda _: {"consent": desk.study.version})
    return ann


def token(talk, person):
    return talk.current(person).pending.token


def reply(talk, person, *texts, models=("m", "n")):
    asked = talk.asked(person, token(talk, person))
    talk.replied(person, asked, [Reply(text, model, {"top_p": 1.0}) for text, model in zip(texts, models, strict=True)])
    return asked


def turn(talk, person, answer=FIRST, *, text="Hello", replies=("one", "two")):
    talk.say(person, token(talk, person), text)
    asked = reply(talk, person, *replies)
    return asked, talk.pick(person, token(talk, person), answer)


def notes(desk, kind):
    with desk.store.reading() as connection:
        return list(connection.execute(sa.select(events.c.details).where(events.c.kind == kind)).scalars())


@pytest.mark.parametrize(
    ("answer", "place"), [(FIRST, 0), (ComparisonAnswer(choice="second", strength=1), 1), (TIE, 0), (UNSURE, 0)]
)
def test_it_goes_on_from_the_better_reply_and_else_from_the_first(talk, person, answer, place):
    asked, recorded = turn(talk, person, answer)
    shown = [("one", "two")[at] for at in asked.shown]
    now = talk.current(person)
    assert [(message.role, message.content) for message in now.messages] == [
        ("user", "Hello"),
        ("assistant", shown[place]),
    ]
    assert (now.turns, now.pending.awaits) == (1, "message")
    assert recorded.abstained == (answer is UNSURE)


def test_both_bad_asks_for_other_replies_and_keeps_the_label(talk, person):
    asked, recorded = turn(talk, person, BAD)
    now = talk.current(person)
    assert (now.pending.awaits, now.turns, len(now.messages)) == ("replies", 1, 1)
    assert now.pending.token != asked.token
    reply(talk, person, "three", "four")
    talk.pick(person, token(talk, person), FIRST)
    labels = list(talk.desk.store.labels())
    assert [label.choice for label in labels].count("both_bad") == 1 and len(labels) == 2
    assert recorded.choice == "both_bad" and len({label.comparison_id for label in labels}) == 2


def test_what_is_stored_of_a_turn(talk, person, clock):
    talk.say(person, token(talk, person), "Hello")
    asked = reply(talk, person, "one", "two")
    clock.now += 12.5
    lease = token(talk, person)
    talk.pick(person, lease, FIRST)
    (pair,), (label,) = list(talk.desk.store.comparisons()), list(talk.desk.store.labels())
    assert [(m.role, m.content) for m in pair.prompt.messages] == [("system", "Be brief."), ("user", "Hello")]
    assert {(r.text, r.model) for r in (pair.response_a, pair.response_b)} == {("one", "m"), ("two", "n")}
    assert pair.comparison.source == "chat" and pair.comparison.group == asked.conversation
    chosen = pair.response_a if label.choice == "a" else pair.response_b
    assert chosen.text == ("one", "two")[asked.shown[0]]
    assert label.order_shown == ("ab" if label.choice == "a" else "ba")
    assert (label.seconds, label.sampling_prob, label.strength) == (12.5, 1.0, 3)
    assert label.guideline_version == talk.desk.study.guidelines.version
    assert label.metadata["lease"] == lease


def test_time_stands_still_in_a_break(talk, person, clock):
    talk.say(person, token(talk, person), "Hello")
    reply(talk, person, "one", "two")
    clock.now += 3.0
    pause(talk.desk, person)
    clock.now += 1000.0
    resume(talk.desk, person)
    clock.now += 4.0
    talk.pick(person, token(talk, person), FIRST)
    assert [label.seconds for label in talk.desk.store.labels()] == [7.0]


def test_a_reload_shows_the_same(talk, person):
    steps = ["message", "replies", "choice"]
    for expected in steps:
        first, again = talk.current(person), talk.current(person)
        assert first == again and first.pending.awaits == expected
        if expected == "message":
            talk.say(person, first.pending.token, "Hello")
        elif expected == "replies":
            reply(talk, person, "one", "two")


def test_steps_that_are_stale_doubled_or_somebody_elses_are_refused(talk, person, desk, join):
    first = token(talk, person)
    talk.say(person, first, "Hello")
    with pytest.raises(Refused, match="has gone on"):
        talk.say(person, first, "Hello")
    asked = reply(talk, person, "one", "two")
    with pytest.raises(Refused, match="has gone on"):
        talk.replied(person, asked, [Reply("three", "m", {}), Reply("four", "n", {})])
    choice = token(talk, person)
    with pytest.raises(Refused, match="has gone on"):
        talk.end(person, choice)
    other = join("ben", agreed=False)
    with pytest.raises(Refused, match="not the time"):
        talk.say(other, choice, "Hello")
    People(desk.store, desk.study.name, desk.clock).keep(other, "consented", lambda _: {"consent": desk.study.version})
    with pytest.raises(Refused, match="has gone on"):
        talk.pick(other, choice, FIRST)
    talk.pick(person, choice, FIRST)
    with pytest.raises(Refused, match="has gone on"):
        talk.pick(person, choice, FIRST)
    assert len(list(desk.store.labels())) == 1 and len(list(desk.store.comparisons())) == 1
    assert len(notes(desk, "refused")) == 6


@pytest.mark.parametrize("text", ["", " \n", "x" * 21, "a\0b"])
def test_messages_that_are_none_are_refused(talk, person, text):
    with pytest.raises(Refused):
        talk.say(person, token(talk, person), text)
    assert talk.current(person).messages == ()


@pytest.mark.parametrize(
    "answer", [RatingAnswer(ratings={}), ComparisonAnswer(choice="tie", edits={"1": "better"}), None]
)
def test_answers_that_do_not_fit_are_refused(talk, person, answer):
    talk.say(person, token(talk, person), "Hello")
    reply(talk, person, "one", "two")
    unasked = ComparisonAnswer(choice="tie", criteria={"never asked for": "tie"})
    with pytest.raises(Refused, match="does not fit"):
        talk.pick(person, token(talk, person), answer or unasked)
    assert talk.current(person).pending.awaits == "choice"


def test_a_choice_too_fast_to_have_read_is_refused(talk, person, settle, clock):
    talk.say(person, token(talk, person), "Hello")
    reply(talk, person, "one", "two")
    settle(least_seconds=2.0)
    with pytest.raises(Refused, match="too fast"):
        talk.pick(person, token(talk, person), FIRST)
    clock.now += 2.0
    talk.pick(person, token(talk, person), FIRST)


def test_conversations_end_and_there_are_so_many(talk, person):
    with pytest.raises(Refused, match="too early"):
        talk.end(person, token(talk, person))
    for number in range(3):
        assert talk.current(person).number == 1
        turn(talk, person, text=f"Hello {number}")
    assert talk.current(person).number == 2
    turn(talk, person)
    talk.end(person, token(talk, person))
    assert talk.current(person) is None and talk.compared(person) == (4, 2)


def test_a_conversation_whose_replies_never_come_can_be_ended(talk, person):
    turn(talk, person)
    talk.say(person, token(talk, person), "And?")
    asked = talk.asked(person, token(talk, person))
    talk.end(person, asked.token)
    with pytest.raises(Refused, match="has gone on"):
        talk.replied(person, asked, [Reply("one", "m", {}), Reply("two", "n", {})])
    assert talk.current(person).number == 2


def test_the_same_reply_twice_is_no_comparison(talk, person):
    talk.say(person, token(talk, person), "Hello")
    reply(talk, person, "same", "same", models=("m", "m"))
    now = talk.current(person)
    assert (now.pending.awaits, now.messages[-1].content, now.turns) == ("message", "same", 1)
    assert not list(talk.desk.store.comparisons()) and len(list(talk.desk.store.responses())) == 1
    assert len(notes(talk.desk, "same replies")) == 1


def test_of_choices_at_the_same_time_one_counts(talk, person):
    talk.say(person, token(talk, person), "Hello")
    reply(talk, person, "one", "two")
    choice = token(talk, person)

    def pick(_):
        try:
            return talk.pick(person, choice, FIRST)
        except Refused:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert len([done for done in pool.map(pick, range(8)) if done]) == 1
    assert len(list(talk.desk.store.labels())) == 1


def test_pages_that_open_at_the_same_time_begin_one_conversation(talk, person):
    with ThreadPoolExecutor(8) as pool:
        assert len({found.id for found in pool.map(lambda _: talk.current(person), range(8))}) == 1
    with talk.desk.store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 1


def test_either_reply_may_stand_first():
    first = [Asked("conversation", f"token {number}", ()).shown for number in range(1000)]
    assert set(first) == {(0, 1), (1, 0)}
    # Of 1,000 fair coins less than 400 fall on one side with a probability of 1e-10.
    assert 400 < first.count((0, 1)) < 600
