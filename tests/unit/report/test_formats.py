import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.calibration.estimates import Estimate
from rewardkit.report import formats

S = "\u00a0"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(0.7834), f"78.3{S}%"),
        (formats.percent(1.0, 0), f"100{S}%"),
        (formats.points(0.0421), f"+4.2{S}points"),
        (formats.points(-0.0421), f"−4.2{S}points"),
        (formats.points(-0.0001), f"0.0{S}points"),
        (formats.plain_number(-0.05, 2), "−0.05"),
        (formats.plain_number(-0.0001), "0.000"),
        (formats.plain_number(1234.5, 1), "1,234.5"),
        (formats.plain_number(None), "—"),
        (formats.plain_interval(0.031, 0.052), "0.031–0.052"),
        (formats.plain_interval(-0.04, 0.46, 2), "−0.04 to 0.46"),
        (formats.plain_interval(-math.inf, math.inf), "open"),
        (formats.plain_interval(None, None), "open"),
        (formats.count(1, "prompt"), f"1{S}prompt"),
        (formats.count(1024, "prompt"), f"1,024{S}prompts"),
        (formats.duration(59.94), f"59.9{S}s"),
        (formats.duration(185), f"3{S}min 05{S}s"),
        (formats.duration(7800), f"2{S}h 10{S}min"),
        (formats.listing(["a"]), "a"),
        (formats.listing(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_read_as_a_person_would_write_them(shown, expected):
    assert shown == expected


def test_intervals_of_shares_and_of_differences():
    estimate = Estimate(0.1, -0.03, 0.2309, 50, 10, 0.9)
    assert formats.points_interval(estimate) == "−3.0 to +23.1"
    assert formats.level(estimate) == f"90{S}%"
    assert formats.percent_interval(Estimate(0.8, 0.712, 0.844, 50, 10, 0.95), 0) == f"71–84{S}%"


@given(st.text(st.characters(exclude_categories=())))
def test_readable_text_can_always_be_written_and_keeps_its_length(text):
    shown = formats.readable(text)
    shown.encode("utf-8")
    assert len(shown) == len(text)
    assert "\x00" not in shown


def test_readable_keeps_what_a_page_can_hold():
    assert formats.readable("a\tb\nc — é 猫 😀") == "a\tb\nc — é 猫 😀"
