"""Where the marks of the researchers' charts stand, in percent of the width and height of the drawing.

In percent, so that a chart fits a phone with letters of the same size. `templates/charts.html.j2` draws them, in the
page's own colours, which change with light and dark; the numbers stand beside each chart as a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from labeling_ui.overview import DAY, Bar, Moment

TICKS = 4
WIDEST = 6.0
"""Percent of the width that a bar has at most."""
NICE = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8)


@dataclass(frozen=True)
class Tick:
    """A line of an axis, and what it says.

    Attributes:
        at: Percent from the left or from the top.
        text: Its label.
    """

    at: float
    text: str


@dataclass(frozen=True)
class Column:
    """Two stacked bars of one hour or day.

    Attributes:
        left: Percent from the left.
        width: Percent.
        top: Percent from the top, of the lower bar (work).
        height: Percent, of the lower bar.
        other_top: Of the upper bar (gold, qualification, repeats).
        other_height: Of the upper bar.
        title: What it says when it is pointed at.
    """

    left: float
    width: float
    top: float
    height: float
    other_top: float
    other_height: float
    title: str


@dataclass(frozen=True)
class Columns:
    """A chart of answers by time."""

    columns: tuple[Column, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True)
class Point:
    """A value with its interval, percent from the left and from the top."""

    left: float
    top: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Points:
    """A chart of a value over time."""

    points: tuple[Point, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def columns(bars: Sequence[Bar]) -> Columns:
    """Draw answers by the hour or day."""
    most = nice_above(max((bar.work + bar.other for bar in bars), default=1))
    room = 100 / max(len(bars), 1)
    width = min(0.8 * room, WIDEST)
    drawn = []
    for at, bar in enumerate(bars):
        work, other = 100 * bar.work / most, 100 * bar.other / most
        left = (at + 0.5) * room - width / 2
        drawn.append(Column(left, width, 100 - work, work, 100 - work - other, other, _said_of(bar)))
    few = sorted({0, len(bars) // 2, len(bars) - 1}) if bars else ()
    across = tuple(Tick((at + 0.5) * room, _moment(bars[at].start, bars[at].seconds)) for at in few)
    steps = [most * step / TICKS for step in range(1, TICKS + 1)] if most >= TICKS else [most]
    return Columns(tuple(drawn), across, tuple(Tick(100 - 100 * step / most, f"{step:g}") for step in steps))


def points(moments: Sequence[Moment]) -> Points:
    """Draw agreement over time; what is not defined has no point, and stands in the table."""
    known = [(moment, alpha) for moment in moments if (alpha := moment.found.alpha) is not None]
    least = min([0.0, *(alpha for _, alpha in known)])
    bottom = math.floor(least * 4) / 4 if least < 0 else 0.0
    drawn = []
    for at, (moment, alpha) in enumerate(known):
        low, high = moment.found.interval or (alpha, alpha)
        top, lower, upper = (_height(value, bottom) for value in (alpha, max(low, bottom), high))
        title = f"until {_moment(moment.at, 60)}: {alpha:.2f} over {moment.found.units} items"
        drawn.append(Point(_across(at, len(known)), top, lower, upper, title))
    few = sorted({0, len(known) - 1}) if known else ()
    across = tuple(Tick(drawn[at].left, _moment(known[at][0].at, 60)) for at in few)
    up = tuple(Tick(_height(value, bottom), f"{value:g}") for value in (1.0, 0.5, 0.0, *((bottom,) if bottom else ())))
    return Points(tuple(drawn), across, up)


def nice_above(value: float) -> float:
    """Return a whole number that is not below a value, and of which a quarter is whole too unless it is small."""
    power = 10.0 ** math.floor(math.log10(max(value, 1)))
    # Rounded, as 1.2 · 10 is not quite 12.
    tops = (round(nice * step, 6) for step in (power, 10 * power) for nice in NICE)
    return next(top for top in tops if top >= value and (top in (1, 2) or top % TICKS == 0))


def _across(at: int, count: int) -> float:
    return 6 + 88 * (at / (count - 1) if count > 1 else 0.5)


def _height(value: float, bottom: float) -> float:
    return 100 * (1 - (value - bottom) / (1 - bottom))


def _moment(at: float, seconds: float) -> str:
    """Return a time as people write it: the day, and the hour where hours are shown."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b" if seconds >= DAY else "%d %b %H:%M")


def _said_of(bar: Bar) -> str:
    return f"{_moment(bar.start, bar.seconds)}: {bar.work} labels of work, {bar.other} others"
