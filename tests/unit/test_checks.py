"""Criteria that code decides."""

from __future__ import annotations

import pytest

from rewardkit.checks import check_named
from rewardkit.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "settings", "text", "share"),
    [
        ("words", {"least": 2, "most": 3}, "one two three", 1.0),
        ("words", {"least": 2, "most": 3}, "one", 0.0),
        ("words", {"most": 3}, "one two three four", 0.0),
        ("lines", {"least": 2, "most": 2}, "one\n\n  \ntwo\n", 1.0),
        ("lines", {"least": 3}, "one\ntwo", 0.0),
        ("characters", {"most": 3}, "äöü", 1.0),
        ("without", {"words": ["rain"]}, "The RAIN fell.", 0.0),
        # A part of another word is none.
        ("without", {"words": ["rain"]}, "It trains.", 1.0),
        ("contains", {"words": ["rain", "a clock", "snow"]}, "Rain on a  clock, a clock.", 2 / 3),
        ("contains", {"words": ["c++"]}, "I like C++.", 1.0),
    ],
)
def test_what_a_check_says(name, settings, text, share):
    assert check_named(name, settings)(text) == pytest.approx(share)


def test_settings_that_a_check_does_not_take_are_refused():
    with pytest.raises(ConfigError, match="unknown name 'wrods'"):
        check_named("wrods", {})
    for settings in ({"lest": 3}, {}):
        with pytest.raises(ValueError, match="the check 'without'"):
            check_named("without", settings)
