"""Findings → what stands in a table of the audit: a number, its interval and its n, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rewardkit.audit.results import Finding
from rewardkit.calibration.estimates import Estimate
from rewardkit.report.formats import (
    NBSP,
    NOTHING,
    count,
    percent,
    percent_interval,
    plain_interval,
    plain_number,
    points,
    points_interval,
)

Form = Literal["share", "points", "number", "signed", "whole"]


@dataclass(frozen=True)
class Cell:
    """One number as a reader sees it.

    Attributes:
        value: The number, or a dash.
        interval: Its interval; "" where there is no number.
        n: Items and units that it rests on; "" where there is no number.
        note: Why there is none, or what to know.
    """

    value: str
    interval: str = ""
    n: str = ""
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table: a name, numbers, and what they say in plain words."""

    name: str
    cells: tuple[Cell, ...]
    words: str = ""

    @property
    def missing(self) -> str:
        """Why none of its numbers is there; "" where one is."""
        known = any(cell.interval for cell in self.cells)
        return "" if known else next((cell.note for cell in self.cells if cell.note), "not measurable")


@dataclass(frozen=True)
class Table:
    """Lines under a heading.

    Attributes:
        caption: What the table is.
        columns: Names of the numbers.
        lines: Its lines.
        foot: What stands below it.
    """

    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    foot: str = ""

    @property
    def missing(self) -> str:
        """Why it has no number at all; "" where it has one."""
        notes = list(dict.fromkeys(line.missing for line in self.lines))
        return "; ".join(notes) if all(notes) else ""

    @property
    def words(self) -> bool:
        """Whether its lines say something in words."""
        return any(line.words or line.missing for line in self.lines)


def cell(finding: Finding, form: Form, unit: str) -> Cell:
    """Return a finding as a reader sees it.

    Args:
        finding: The number, or why there is none.
        form: A share, a difference of shares, a number, one whose sign matters, or one without a fraction.
        unit: What intervals are clustered by, in the singular.
    """
    known = finding.estimate
    if known is None:
        return Cell(NOTHING, note=finding.note)
    value, interval = _shown(known, form)
    return Cell(value, interval, f"{n_of(known)}, {count(known.n_units, unit)}", finding.note)


def n_of(known: Estimate) -> str:
    """Return on how many items a number rests, in one piece."""
    return f"n{NBSP}={NBSP}{count(known.n)}"


def cells(findings: Sequence[Finding], form: Form, unit: str) -> tuple[Cell, ...]:
    """Return findings of one form as a reader sees them."""
    return tuple(cell(finding, form, unit) for finding in findings)


def which_side(finding: Finding, middle: float, words: tuple[str, str, str]) -> str:
    """Say on which side of a value an interval lies.

    Args:
        finding: The number.
        middle: The value.
        words: What is said of an interval above it, of one below it, and of one that holds it.
    """
    known = finding.estimate
    if known is None:
        return ""
    above, below, unclear = words
    return above if known.low > middle else below if known.high < middle else unclear


def _shown(known: Estimate, form: Form) -> tuple[str, str]:
    if form == "share":
        return percent(known.value), percent_interval(known)
    if form == "points":
        return points(known.value), points_interval(known)
    if form == "whole":
        return plain_number(known.value, 0), plain_interval(known.low, known.high, 0)
    value = plain_number(known.value, 2)
    sign = "+" if form == "signed" and round(known.value, 2) > 0 else ""
    return sign + value, plain_interval(known.low, known.high, 2)
