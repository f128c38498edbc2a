from __future__ import annotations

from random import Random

import pytest

from rewardkit.corruptions import (
    contradicted,
    corruption_named,
    cut_off,
    formatted,
    padded,
    sentences,
    shuffled,
)
from rewardkit.errors import ConfigError

STORY = "The lamp was out. Nobody came. Anna lit a match. The wind took it. She waited."


def test_sentences_keep_their_closing_marks_and_lose_their_line_ends():
    assert sentences('He said "Go." She went!\n\nWhy?! (Who knows)') == [
        'He said "Go."',
        "She went!",
        "Why?!",
        "(Who knows)",
    ]
    assert sentences("It cost 3.50 or so") == ["It cost 3.50 or so"]
    assert sentences("  ") == []


def test_a_shuffle_keeps_every_sentence_and_moves_most():
    for seed in range(20):
        changed = sentences(shuffled(STORY, Random(seed)))
        assert sorted(changed) == sorted(sentences(STORY))
        assert sum(one == other for one, other in zip(changed, sentences(STORY), strict=True)) <= 1


def test_what_is_too_short_or_repeats_itself_is_not_shuffled():
    assert shuffled("One. Two. Three.", Random(0)) is None
    assert shuffled("One. Two. One. Two. One.", Random(0)) is None


def test_a_contradiction_adds_the_denial_of_one_sentence_after_it():
    changed = sentences(contradicted(STORY, Random(1)))
    assert len(changed) == 6
    assert changed[0] == "The lamp was out."
    assert "The lamp was not out." in changed[2:]


def test_what_denies_already_or_has_no_verb_to_deny_is_left():
    assert contradicted("It was not so. A. B. C.", Random(0)) is None
    assert contradicted("No. Yes. No. Yes.", Random(0)) is None
    assert contradicted("Was he tall? Had it never been so. A. B.", Random(0)) is None


def test_a_cut_ends_in_the_middle_of_a_sentence():
    changed = cut_off(STORY, Random(0))
    assert STORY.startswith(changed)
    assert changed[-1] not in ".!?"
    assert len(changed) < 0.75 * len(STORY)


def test_padding_makes_a_text_half_as_long_again_and_keeps_it_whole():
    changed = padded(STORY, Random(0))
    assert changed.startswith(STORY)
    assert len(changed) >= 1.5 * len(STORY)


def test_formatting_keeps_the_words():
    changed = formatted(STORY, Random(0))
    assert changed.startswith("## Response\n\n- **The lamp** was out.")
    assert changed.replace("*", "").replace("- ", "").split()[2:] == STORY.split()


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'shuffle'"):
        corruption_named("shufle")
