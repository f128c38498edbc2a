"""A quote is there or it is not, and its offsets are those of the text as it is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.quotes import Quotable, _Tidied

TEXT = "“Don’t go,” she said —\n\n   and the cathedral  stood… still. 彼は笑った。 A cat sat."


@pytest.mark.parametrize(
    ("quote", "there"),
    [
        ("she said", "she said"),
        # Quotation marks, dashes, dots and space in another form.
        ('"Don\'t go," she said', "Don’t go,” she said"),
        ("she said - and the cathedral stood... still.", "she said —\n\n   and the cathedral  stood… still."),
        ("...the cathedral stood...", "the cathedral  stood"),
        ("  A cat sat.  ", "A cat sat."),
        # Whole words only: "cat" is also in "cathedral".
        ("cat", "cat"),
        # No space between words.
        ("笑った", "笑った"),
    ],
)
def test_a_quote_is_found_where_it_stands(quote, there):
    found = Quotable(TEXT).find(quote)
    assert found.of(TEXT) == there


def test_a_word_is_not_found_inside_another():
    assert Quotable(TEXT).find("cat").start == TEXT.index("cat sat")
    assert Quotable("The cathedral.").find("cat") is None


@pytest.mark.parametrize("quote", ["", " ", "a", "no", "—", "...", "she cried", "go she", "A cat sat. And"])
def test_what_is_not_there_or_shows_nothing_is_not_found(quote):
    assert Quotable(TEXT).find(quote) is None


def test_what_was_shown_for_a_tag_is_found_as_it_was_written():
    text = "He typed </response> and left."
    assert Quotable(text).find("typed ‹/response> and").of(text) == "typed </response> and"


@given(st.text(max_size=60), st.text(max_size=12))
def test_what_is_found_is_what_was_quoted_but_for_its_signs(text, quote):
    found = Quotable(text).find(quote)
    if found is not None:
        letters = [sign for sign in found.of(text) if sign.isalnum()]
        assert letters == [sign for sign in quote if sign.isalnum()]


@given(st.lists(st.text(alphabet="abcäß", min_size=3, max_size=6), min_size=3, max_size=9))
def test_every_passage_of_whole_words_is_found(words):
    text = "\n".join(words)
    passage = " ".join(words[1:-1])
    assert Quotable(text).find(passage).of(text).split() == words[1:-1]


def test_a_text_is_tidied_once_for_all_quotes(monkeypatch):
    tidied = []

    def of(text, tidy=_Tidied.of):
        tidied.append(text)
        return tidy(text)

    monkeypatch.setattr(_Tidied, "of", of)
    looked_in = Quotable(TEXT)
    for quote in ("she cried", "nobody stood", "...the cathedral stood..."):
        looked_in.find(quote)
    assert tidied.count(TEXT) == 1 and len(tidied) == 4
