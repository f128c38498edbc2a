"""What is unlike the calibration's texts, and that what is like them is seldom flagged."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.calibration.likeness import Familiar, TextProfile, profile
from rewardkit.types import Message

WORDS = "the rain fell on old roofs and nobody knew when it would end or who had asked for so much of it".split()


def sentence(seed, words=WORDS):
    drawn = random.Random(seed)
    return " ".join(drawn.choices(words, k=drawn.randint(20, 60)))


@pytest.fixture(scope="module")
def known():
    return profile([sentence(seed) for seed in range(150)], [str(seed) for seed in range(150)])


def test_alike_texts_are_seldom_flagged(known):
    flagged = sum("other words" in known.unlike(sentence(seed)) for seed in range(1000, 1400))
    # 1 in 100 is what the limit lets pass; a standard error is taken off besides.
    assert flagged <= 8


@pytest.mark.parametrize(
    "text",
    [
        "Der Regen fiel auf die Dächer der alten Stadt, und niemand wusste, wann er aufhören würde.",
        "雨が古い町の屋根に降り注いでいた。誰もいつ止むのか知らなかった。",
        "def f(x):\n    return [y**2 for y in x if y % 2]\n\nprint(f(range(10)))",
    ],
)
def test_another_language_is_flagged(known, text):
    assert "other words" in known.unlike(text)


def test_lengths_by_hand():
    found = profile(["abcd", "abcdefgh"], ["u", "v"])
    assert (found.n, found.shortest, found.longest) == (2, 4, 8)
    assert "shorter" in found.unlike("abc") and "longer" in found.unlike("abcdefghi")
    assert not {"shorter", "longer"} & {*found.unlike("abcde"), *found.unlike("abcd"), *found.unlike("abcdefgh")}


def test_texts_of_one_unit_do_not_vouch_for_each_other():
    apart, together = (profile(["zebra zebra", "zebra zebra", "an ox"], units) for units in ("abc", "aab"))
    assert together.limit > apart.limit


def test_a_shorter_prompt_is_no_news():
    asked = (Message(role="user", content="A poem about the rain, please."),)
    found = Familiar.of([(asked, "It rains."), (asked, "It rains a lot.")], ["u", "v"])
    assert found.unlike((Message(role="user", content=""),), "It rains.") == ()
    assert "prompt: longer" in found.unlike((*asked, *asked), "It rains.")
    several = [(asked, "It rains."), ((*asked, *asked), "It rains."), (asked, "Zwölf Boxkämpfer jagen Viktor.")]
    assert found.unlike_each(several) == [found.unlike(*each) for each in several]


@given(st.text())
def test_any_text_has_an_answer_that_survives_the_file(text):
    found = profile([text, "rain"], ["u", "v"])
    again = TextProfile.model_validate_json(found.model_dump_json())
    assert again.unlike(text) == found.unlike(text)
    assert "longer" not in found.unlike(text) and "shorter" not in found.unlike(text)
