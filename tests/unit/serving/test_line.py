from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.serving.line import FIRST_RATE, MOST_SEEN, Line
from rewardkit.serving.refusals import Refusal

in_order = runpy.run_path(str(Path(__file__).parents[2] / "served.py"))["in_order"]


def ask(line, *lengths, guess=0):
    """Put a request into a line whose place is held for good."""
    held = line.place(guess)
    return line.put(held.__enter__(), [[0] * length for length in lengths])


def lengths(texts):
    return [len(text.ids) for text in texts]


def test_what_is_chosen_beside_the_first_is_taken_and_the_rest_keeps_its_place():
    line = Line(1000)
    ask(line, 1, 2, 3)
    ask(line, 4)
    assert lengths(line.take(lambda sequences: [3, 0])) == [1, 4]
    assert lengths(line.take(in_order(100))) == [2, 3]


def test_who_leaves_while_it_is_chosen_is_not_taken():
    line = Line(1000)
    gone, _ = ask(line, 1), ask(line, 2)

    def choose(sequences):
        gone.cancel()
        return [0]

    assert lengths(line.take(choose)) == [2]


def test_a_long_line_is_chosen_from_at_its_front():
    line = Line(10_000)
    ask(line, *[1] * (MOST_SEEN + 3))
    assert len(line.take(in_order(10_000))) == MOST_SEEN
    assert len(line.take(in_order(10_000))) == 3


def test_first_come_first_served_and_a_request_may_be_split():
    line = Line(1000)
    ask(line, 4, 4, 4)
    ask(line, 1)
    assert lengths(line.take(in_order(8))) == [4, 4]
    # The small one could have gone first, and does not.
    assert lengths(line.take(in_order(5))) == [4, 1]


def test_a_text_beyond_the_budget_goes_alone():
    line = Line(1000)
    ask(line, 50, 1)
    assert lengths(line.take(in_order(8))) == [50]
    assert lengths(line.take(in_order(8))) == [1]


def test_all_answers_of_a_request_come_together_in_its_order():
    line = Line(1000)
    future = ask(line, 1, 2, 3)
    for text in reversed(line.take(in_order(100))):
        assert not future.done()
        text.answer(float(len(text.ids)))
    assert future.result(0) == [1.0, 2.0, 3.0]
    assert ask(line).result(0) == []


def test_who_left_is_not_read():
    line = Line(1000)
    gone, stays = ask(line, 1, 2), ask(line, 3)
    gone.cancel()
    # Not only passed over: whoever comes and goes leaves nothing behind.
    assert len(line._texts) == 1 and len(line._requests) == 1
    taken = line.take(in_order(100))
    assert lengths(taken) == [3]
    stays.cancel()
    # In the middle of a pass: nothing comes of it, and nothing breaks.
    taken[0].answer(1.0)
    assert not taken[0].wanted


def test_a_full_line_says_when_there_is_room():
    line = Line(100)
    line.measured(50, 2.0)
    with line.place(80):
        with pytest.raises(Refusal, match="80 tokens wait already, of 100") as refused, line.place(60):
            pass
        # 40 tokens too many at 25 a second.
        assert (refused.value.status, refused.value.retry_after) == (429, 2)
        with line.place(20):
            assert line.tokens == 100
    assert line.tokens == 0
    # A guess keeps nobody out of an empty line.
    with line.place(10_000) as held:
        line.put(held, [[0] * 30])
        assert line.tokens == 30
    assert line.tokens == 0


def test_what_can_never_wait_is_refused_for_good():
    line = Line(100)
    with pytest.raises(Refusal, match="send fewer texts") as refused, line.place(1) as held:
        line.put(held, [[0] * 60, [0] * 60])
    assert (refused.value.status, refused.value.retry_after, line.tokens) == (413, None, 0)


def test_what_was_guessed_too_low_waits_for_others():
    line = Line(100)
    with line.place(5) as one, line.place(5) as other:
        line.put(one, [[0] * 70])
        with pytest.raises(Refusal, match="70 tokens wait already, of 100") as refused:
            line.put(other, [[0] * 31])
        assert refused.value.status == 429 and line.tokens == 75
        line.put(other, [[0] * 30])
        assert line.tokens == 100


def test_a_rate_forgets():
    line = Line(1)
    assert line.rate == FIRST_RATE
    line.measured(100, 1.0)
    line.measured(10, 1.0)
    assert line.rate == pytest.approx((0.9 * 100 + 10) / (0.9 + 1))


def test_a_closed_line_refuses_everybody():
    line = Line(100)
    waits, read = ask(line, 1), ask(line, 2)
    assert lengths(line.take(in_order(1))) == [1]
    line.close("the end")
    line.close("another reason")
    for future in (waits, read):
        with pytest.raises(Refusal, match="the end") as refused:
            future.result(0)
        assert refused.value.status == 503
    assert line.take(in_order(100)) is None
    with pytest.raises(Refusal, match="the end"):
        ask(line, 1)


@given(st.lists(st.lists(st.integers(1, 20), max_size=6), max_size=12), st.integers(1, 40), st.data())
def test_everything_wanted_is_taken_once_in_order_within_the_budget(requests, budget, data):
    line = Line(10_000)
    futures = [ask(line, *each) for each in requests]
    left = data.draw(st.sets(st.sampled_from(range(len(futures))))) if futures else set()
    for place in left:
        futures[place].cancel()
    wanted = [length for place, each in enumerate(requests) if place not in left for length in each]
    found = []
    while len(found) < len(wanted):
        taken = lengths(line.take(in_order(budget)))
        assert sum(taken) <= budget or len(taken) == 1
        found += taken
    assert found == wanted
