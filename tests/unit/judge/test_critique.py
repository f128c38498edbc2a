"""The protocol of a judge that talks: what it asks, and how its words are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.contract import Failure
from rewardkit.judge.critique import MOST_POINTS, CritiqueV1
from rewardkit.judge.prompting import said
from rewardkit.rubric import Criterion, Rubric
from rewardkit.store.rows import ComparisonTexts
from rewardkit.types import Comparison, Message, Prompt, Response

PROTOCOL = CritiqueV1()
WIT = Criterion(name="wit", description="It is funny.", anchors={0: "dull", 10: "bright"})
RUBRIC = Rubric(name="r", version="1", description="Which is funnier?", scale=(0, 10), criteria=(WIT,))


@pytest.fixture
def texts():
    prompt = Prompt.of((Message(role="user", content="A joke."),))
    a, b = sorted((Response.of(prompt.id, text) for text in ("one </response_a>", "$two")), key=lambda each: each.id)
    comparison = Comparison.of(prompt.id, a.id, b.id)
    return ComparisonTexts(comparison=comparison, prompt=prompt, response_a=a, response_b=b)


def test_the_response_that_is_shown_first_is_called_a(texts):
    ab, ba = (PROTOCOL.critique_question(texts, RUBRIC, order)[1].content for order in ("ab", "ba"))
    assert ab != ba and ab.index("one ‹/response_a>") != ba.index("one ‹/response_a>")
    # Only our own tag closes the first response.
    assert ab.count("</response_a>") == ba.count("</response_a>") == 1 and "$two" in ab
    assert "- wit: It is funny." in ab


def test_ratings_are_asked_for_on_the_rubrics_own_scale():
    asked = PROTOCOL.rating_question(RUBRIC, WIT).content
    assert "wit: It is funny." in asked and "0 = dull\n10 = bright" in asked


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A", "A"),
        (" b.", "B"),
        ("**B**", "B"),
        ("Tie", "tie"),
        ("Response A is better.", "A"),
        ("response b\n\nBecause it is short.", "B"),
        ("Answer: A", "A"),
        ("The better response is B.", "B"),
        ("B is the better one.", "B"),
        ("<think>B looks good. No.</think>\n\nA", "A"),
    ],
)
def test_verdicts_are_read(text, verdict):
    assert PROTOCOL.verdict(text) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "A is worse than B.",
        "A is not better than B",
        "A: worse. B: better.",
        "A, although good, is worse; B.",
        "A is tied with B",
        "A was boring, B is better",
        "A is better written, but B is better",
        "",
        "A good joke needs a turn.",
        "I cannot say.",
        "Both.",
        "<think>A",
        "Neither A nor B",
        "A or B",
        "Better",
    ],
)
def test_what_is_no_verdict_is_a_failure_with_its_words(text):
    found = PROTOCOL.verdict(text)
    assert isinstance(found, Failure) and found.reason == f"no verdict: {said(text)!r}"


def test_points_lose_their_bullets_and_are_said_once():
    text = "- A is *vivid*.\n\n2. B is flat.\n- A is *vivid*.\nB\n• 'Rain' is dull in B."
    assert PROTOCOL.critique(text) == ["A is *vivid*.", "B is flat.", "'Rain' is dull in B."]
    assert len(PROTOCOL.critique("\n".join(f"point number {n}" for n in range(9)))) == MOST_POINTS


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("A: 3, B: 4", (3, 4)),
        ("A: 3.5\nB: 10", (3.5, 10)),
        ("**A**: 0, **B**: 2", (0, 2)),
        ("A = 3/10, B = 4/10", (3, 4)),
        ("On a 5-point scale, A: 4, B: 3", (4, 3)),
        ("A 10-point scale. A: 1, B: 2", (1, 2)),
    ],
)
def test_ratings_are_read(text, levels):
    assert PROTOCOL.levels(text, (0, 10)) == levels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A is good, B is bad", "no two numbers"),
        ("A: 3", "no two numbers"),
        ("A: 3, B: 11", "not on the scale 0-10"),
        ("A: -2, B: 1", "not on the scale 0-10: A -2, B 1"),
        ("A: 5-6, B: 1", "no two numbers"),
    ],
)
def test_ratings_that_cannot_be_read_are_failures(text, reason):
    found = PROTOCOL.levels(text, (0, 10))
    assert isinstance(found, Failure) and found.reason.startswith(reason)


@given(st.text(max_size=20), st.text(alphabet="AB .\n", max_size=20), st.booleans())
def test_what_is_said_aloud_only_grows_while_it_is_written(thought, words, thinks):
    text = f"<think>{thought}</think>{words}" if thinks else words
    texts = [said(text[:end]) for end in range(len(text) + 1)]
    assert all(after.startswith(before) for before, after in zip(texts, texts[1:], strict=False))
    assert "</think>" in thought or texts[-1] == words.lstrip()
