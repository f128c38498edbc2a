"""Where texts are cut: nothing is lost, nothing is told twice, and offsets find the passage again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.passages import paragraphs, windows

WORDS = st.text(alphabet="ab .\n。é", max_size=400)


@given(WORDS, st.integers(min_value=1, max_value=60))
def test_windows_are_the_whole_text_once(text, characters):
    found = windows(text, characters)
    assert "".join(passage.of(text) for passage in found) == text
    assert all(passage.end - passage.start <= characters for passage in found)
    # A window that is cut lies beyond its middle, so that there are at most twice as many as there must be.
    assert len(found) <= 2 * len(text) / characters + 1


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One line here.\n\nTwo. Three, four five six.", "One line here.\n\n"),
        ("One line here.\nTwo. Three, four five six.", "One line here.\n"),
        ("One line, here. Two three four five six.", "One line, here. "),
        ("One line here and no stop in it, not one.", "One line here and no "),
        ("一二三四五六七八九十一二三。一二三四五六七八九十一二三。", "一二三四五六七八九十一二三。"),
        ("x" * 40, "x" * 22),
    ],
)
def test_a_window_ends_where_a_cut_hurts_least(text, first):
    assert windows(text, 22)[0].of(text) == first


def test_paragraphs_stand_between_blank_lines_without_the_space_around_them():
    text = "  First one,\nin two lines.  \n \n\nSecond.\n"
    found = paragraphs(text, least=1, most=9)
    assert [passage.of(text) for passage in found.passages] == ["First one,\nin two lines.", "Second."]
    assert found.found == 2


def test_a_text_without_blank_lines_has_its_lines():
    text = "First.\nSecond.\nThird."
    assert [passage.of(text) for passage in paragraphs(text, least=1, most=9).passages] == text.split("\n")


def test_short_paragraphs_go_with_the_next_and_the_last_with_the_one_before():
    text = "“No.”\n\nShe looked at the water for a while.\n\n“Yes.”"
    (only,) = paragraphs(text, least=20, most=9).passages
    assert only.of(text) == text
    text = "A paragraph that is long enough.\n\n“No.”\n\nAnother that is long enough too."
    first, second = paragraphs(text, least=20, most=9).passages
    assert second.of(text) == "“No.”\n\nAnother that is long enough too."


def test_too_many_paragraphs_are_joined_evenly():
    text = "\n\n".join("abcdefghij")
    found = paragraphs(text, least=1, most=4)
    # 10 into 4: up to the 2nd, 5th, 7th and 10th.
    assert [passage.of(text).replace("\n\n", "") for passage in found.passages] == ["ab", "cde", "fg", "hij"]
    assert found.found == 10


@given(WORDS, st.integers(min_value=1, max_value=30), st.integers(min_value=1, max_value=5))
def test_paragraphs_hold_every_letter_once(text, least, most):
    found = paragraphs(text, least=least, most=most)
    assert len(found.passages) <= most
    assert "".join("".join(p.of(text).split()) for p in found.passages) == "".join(text.split())
