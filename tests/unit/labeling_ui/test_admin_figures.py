"""Where marks stand, worked by hand."""

from __future__ import annotations

import pytest

from labeling_ui.admin_templates import ago, share, span, view
from labeling_ui.figures import columns, nice_above, points
from labeling_ui.overview import Bar, Moment
from labeling_ui.quality import Share
from rewardkit.aggregation.agreement import Agreement


def found(alpha, interval):
    return Agreement("nominal", alpha, interval, 0.5, 20, 40, 2, 20, 0)


def test_the_top_of_an_axis_is_a_round_number():
    tops = [nice_above(value) for value in (0, 1, 2, 3, 5, 9, 11, 13, 52, 99, 100, 101, 700)]
    assert tops == [1, 1, 2, 4, 8, 12, 12, 16, 60, 100, 100, 120, 800]


def test_bars_stand_on_each_other():
    drawn = columns([Bar(0.0, 3600.0, 6, 2), Bar(3600.0, 3600.0, 0, 0)])
    # The axis ends at 8: six labels of work are 75 %, and two others on top of them the rest.
    first, second = drawn.columns
    assert (first.top, first.height, first.other_top, first.other_height) == (25.0, 75.0, 0.0, 25.0)
    # Each has half of the width, and takes 6 % of all in its middle.
    assert (first.left, first.width, second.left) == (22.0, 6.0, 72.0) and second.height == 0.0
    assert [(tick.at, tick.text) for tick in drawn.up] == [(75.0, "2"), (50.0, "4"), (25.0, "6"), (0.0, "8")]
    assert [tick.text for tick in drawn.across] == ["01 Jan 00:00", "01 Jan 01:00"]
    assert first.title == "01 Jan 00:00: 6 labels of work, 2 others"
    assert columns([]).columns == ()


def test_points_have_room_below_nothing():
    moments = [Moment(0.0, found(0.5, (0.2, 0.8))), Moment(60.0, found(None, None)), Moment(120.0, found(-0.1, None))]
    drawn = points(moments)
    # From -0.25 to 1: 0.5 is 60 % up, 0.2 is 36 % up, -0.1 is 12 % up.
    first, last = drawn.points
    assert (first.top, first.low, first.high) == (pytest.approx(40), pytest.approx(64), pytest.approx(16))
    assert last.top == last.low == last.high == pytest.approx(88) and (first.left, last.left) == (6.0, 94.0)
    assert [tick.text for tick in drawn.up] == ["1", "0.5", "0", "-0.25"]
    assert points([]).points == ()


def test_durations_and_shares_as_people_say_them():
    assert [span(value) for value in (None, 0.4, 7.64, 59.6, 119, 120, 7199, 7200, 172799, 172800)] == [
        "–", "0.4 s", "7.6 s", "60 s", "119 s", "2 min", "120 min", "2 hours", "48 hours", "2 days",
    ]  # fmt: skip
    assert (ago(None), share(Share(0, 0))) == ("never", "n = 0")
    eight = Share.of((f"prompt {number // 2}", number < 8) for number in range(10))
    assert share(eight) == "8 of 10, on 5 prompts; 95 % interval 11 to 99 %"


def test_views_escape_what_they_are_given():
    shown = view("head", title="<script>act()</script>", name="{{ 7 * 7 }} ${x} \u202egnp")
    assert "<script>" not in shown and "{{ 7 * 7 }} ${x}" in shown and "U+202E" in shown
