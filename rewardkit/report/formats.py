"""How numbers and texts look on the page: one place, so that they look the same everywhere.

Spaces inside a number are no-break spaces, minus signs are minus signs, and an interval that one unit
leaves open says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from rewardkit.calibration.estimates import Estimate

NBSP = "\u00a0"
DASH = "–"
NOTHING = "—"

# What HTML and XML forbid, or UTF-8 cannot carry: control characters and lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def readable(text: str) -> str:
    """Return a text in which every character can stand in a page."""
    return _FORBIDDEN.sub("\ufffd", text)


def percent(share: float, digits: int = 1) -> str:
    """Return a share as "78.3 %"."""
    return f"{_number(100 * share, digits)}{NBSP}%"


def points(difference: float, digits: int = 1) -> str:
    """Return a difference of two shares as "+4.2 points", with its sign."""
    return f"{_signed(100 * difference, digits)}{NBSP}points"


def percent_interval(estimate: Estimate, digits: int = 1) -> str:
    """Return the interval of a share as "71.0–84.4 %"."""
    return f"{_number(100 * estimate.low, digits)}{DASH}{_number(100 * estimate.high, digits)}{NBSP}%"


def points_interval(estimate: Estimate, digits: int = 1) -> str:
    """Return the interval of a difference as "−3.0 to +11.4"; "open" where one unit leaves it so."""
    return _ends(estimate.low, estimate.high, lambda end: _signed(100 * end, digits), " to ")


def plain_number(value: float | None, digits: int = 3) -> str:
    """Return a number as "0.031", or a dash where there is none."""
    return NOTHING if value is None else _number(value, digits)


def plain_interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval as "0.031–0.052"; "open" where an end is missing."""
    joint = " to " if low is not None and low < 0 else DASH
    return _ends(low, high, lambda end: _number(end, digits), joint)


def level(estimate: Estimate) -> str:
    """Return the level of an interval as "95 %"."""
    return f"{100 * estimate.confidence:g}{NBSP}%"


def count(number: int, noun: str = "") -> str:
    """Return a count with its noun, as "1,024 prompts" or "1 prompt"."""
    digits = f"{number:,}"
    return f"{digits}{NBSP}{noun}{'' if number == 1 else 's'}" if noun else digits


def duration(seconds: float) -> str:
    """Return a duration as "42.0 s", "3 min 05 s" or "2 h 10 min"."""
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60:02d}{NBSP}min"


def listing(items: Iterable[str], last: str = "and") -> str:
    """Return items as "a, b and c"."""
    *head, tail = items
    return f"{', '.join(head)} {last} {tail}" if head else tail


FILTERS: dict[str, Callable[..., Any]] = {
    "readable": readable,
    "percent": percent,
    "percent_interval": percent_interval,
    "points": points,
    "points_interval": points_interval,
    "number": plain_number,
    "level": level,
    "count": count,
    "duration": duration,
}


def _number(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    # "-0.0" is a rounding of nothing, not a negative number.
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def _signed(value: float, digits: int) -> str:
    text = _number(value, digits)
    return text if text.startswith("−") or not text.strip("0.,") else f"+{text}"


def _ends(low: float | None, high: float | None, form: Callable[[float], str], joint: str) -> str:
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "open"
    return f"{form(low)}{joint}{form(high)}"
