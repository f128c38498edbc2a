"""What researchers do with judges: measure them beside people, and watch one at work. Jobs hands the page both.

Nothing of a judge is computed in the page's process: what is measured here is asked of another one, and a model runs
in a process of its own or behind a URL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from labeling_ui.reviewing import LiveJudge
from rewardkit.types import SCHEMA_VERSION, Annotator, Record

Told = Callable[["Step"], None]


class Step(Record):
    """How far a measurement is.

    Attributes:
        done: Judges that are measured.
        judges: How many there are.
        judge: Who is measured now; "" while the page is written.
    """

    done: int
    judges: int
    judge: str


class Number(Record):
    """One number as a reader sees it.

    Attributes:
        value: The number, or a dash.
        interval: Its interval; "" where there is no number.
        n: What it rests on; "" where there is no number.
        note: Why there is none, or what to know.
    """

    value: str
    interval: str = ""
    n: str = ""
    note: str = ""


class MeasuredJudge(Record):
    """What was found of one judge.

    Attributes:
        name: As a reader should see it.
        model: Its model; "" where it names none.
        sentences: What to think of it.
        opposed: Where groups of people see it on opposite sides.
        cautions: What to keep in mind.
        numbers: One for each column.
    """

    name: str
    model: str
    sentences: tuple[str, ...]
    opposed: tuple[str, ...]
    cautions: tuple[str, ...]
    numbers: tuple[Number, ...]


class Measured(Record):
    """What was found of all judges.

    Attributes:
        schema_version: Of this record.
        made: When.
        simulated: Plain words on what is simulated; "" if nothing is.
        confidence: Level of the intervals.
        columns: Names of the numbers.
        judges: The judges; those that agree with people most come first.
    """

    schema_version: int = SCHEMA_VERSION
    made: datetime
    simulated: str
    confidence: float
    columns: tuple[str, ...]
    judges: tuple[MeasuredJudge, ...]


class Audit(Protocol):
    """Measures the judges of the database."""

    @property
    def page(self) -> Path:
        """The whole audit of the last time, as one page."""

    def kept(self) -> Measured | None:
        """Return what was found the last time, also by a server that has ended; None before the first."""

    def measure(self, told: Told) -> Measured:
        """Measure them anew, wherever that holds up nobody; this thread waits.

        Args:
            told: Called as it goes on.

        Raises:
            RewardkitError: There is nothing to measure, or it did not succeed.
        """


@dataclass(frozen=True)
class Watchable:
    """A judge that can be watched.

    Attributes:
        annotator: The judge as an annotator.
        opened: Loads its model, where that is not done, and returns the judge; this thread waits.
        shared: Whether annotators wait for the same judge.
    """

    annotator: Annotator
    opened: Callable[[], LiveJudge]
    shared: bool = False


@dataclass(frozen=True)
class Judges:
    """What jobs hands to the researchers' page.

    Attributes:
        audit: Measures the judges; None where the page is served without it.
        watchable: Judges whose work can be watched.
        unwatchable: Why the config's judge is not among them; "" if it is, or there is none.
    """

    audit: Audit | None = None
    watchable: tuple[Watchable, ...] = ()
    unwatchable: str = ""
