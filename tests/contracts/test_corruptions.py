"""Every registered corruption keeps the contract."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.corruptions import CORRUPTIONS, GROUP
from rewardkit.registry import registered

ALL = registered(GROUP, CORRUPTIONS)
STORY = (
    "The lamp was out. Nobody had seen the keeper since noon. Anna climbed the stairs with a match in her hand! "
    "Would it burn? At the top the wind took it. She sat down in the dark and waited for morning."
)


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_ordinary_text_is_changed_and_the_same_way_each_time(name):
    corruption = ALL[name]
    assert corruption.effect in ("worse", "no_better")
    assert corruption.said
    changed = corruption.change(STORY, Random(5))
    assert changed
    assert changed != STORY
    assert changed == corruption.change(STORY, Random(5))


@pytest.mark.parametrize("name", sorted(ALL))
@given(text=st.text(alphabet="ab was.!? \n\"'é", max_size=80), seed=st.integers(0, 9))
def test_any_text_is_changed_or_left(name, text, seed):
    changed = ALL[name].change(text, Random(seed))
    assert changed is None or isinstance(changed, str)
    if ALL[name].effect == "worse":
        assert changed is None or changed != text
