"""The sentences on top of the page: what the numbers allow one to say, and nothing more.

A model counts as better than a baseline only where the interval of the paired difference lies above
0, and its probabilities as honest only where the calibration error lies within the band that a
perfectly calibrated model would show.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rewardkit.calibration.ece import CalibrationError
from rewardkit.calibration.estimates import Estimate
from rewardkit.calibration.evaluation import Measurement
from rewardkit.calibration.reliability import Reliability
from rewardkit.report.data import ReportData, Row
from rewardkit.report.formats import (
    count,
    level,
    listing,
    percent,
    percent_interval,
    plain_number,
    points,
    points_interval,
)

Tone = Literal["good", "mixed", "bad", "unknown"]

# Clustered intervals are too narrow with a handful of units, so nothing is concluded from fewer.
FEWEST_UNITS = 5
# Below these the verdict stands, with a word of caution.
FEW_UNITS = 10
FEW_COMPARISONS = 100
# Half an interval of accuracy that is too wide to steer by, and the one worth labelling for.
WIDE, WORTH_HAVING = 0.10, 0.05
# A band that reaches this far cannot tell honest probabilities from fairly bad ones.
BLUNT_BAND = 0.10


@dataclass(frozen=True)
class Verdict:
    """What to think of the model, in words.

    Attributes:
        tone: good, mixed, bad, or unknown where the data cannot tell.
        headline: The verdict in one line.
        sentences: Agreement, baselines and probabilities, a sentence or two each.
        cautions: What to keep in mind.
        mean_confidence: The model's mean confidence in the response that it prefers.
        mean_share: The mean share of votes for that response.
    """

    tone: Tone
    headline: str
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]
    mean_confidence: float
    mean_share: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Field:
    """The baselines, by what the paired differences allow one to say."""

    better: tuple[Row, ...]
    unclear: tuple[Row, ...]
    worse: tuple[Row, ...]
    unmeasured: tuple[Row, ...]


def reach_verdict(data: ReportData) -> Verdict:
    """Put the results of a report into sentences that hold."""
    field = _divide(data.baselines)
    confidence, share = mean_confidence(data.reliability)
    measured = data.model.measurement
    if measured is None:
        return Verdict("unknown", "The reward model was not measured", (data.model.note,), (), confidence, share)
    honesty = _honesty(measured.ece, data.reliability)
    tone, headline = _headline(measured, field, honesty, data.unit)
    sentences = (
        _agreement(measured, data),
        *_against(field),
        *_reads_the_prompt(data.shuffled),
        _probabilities(measured.ece, honesty, confidence, share),
    )
    return Verdict(tone, headline, sentences, _cautions(measured, data.unit), confidence, share)


def mean_confidence(reliability: Reliability) -> tuple[float, float]:
    """Return the mean confidence in the preferred response, and the mean share of votes for it."""
    total = sum(b.n for b in reliability.bins)
    confidence = sum(b.n * b.confidence for b in reliability.bins) / total
    return confidence, sum(b.n * b.frequency.value for b in reliability.bins) / total


def people(data: ReportData) -> str:
    """Return who gave the labels: people, unless some of them are simulated."""
    return "the simulated annotators" if data.simulated else "people"


def _divide(rows: tuple[Row, ...]) -> _Field:
    compared = [(row, row.difference) for row in rows if row.measurement and row.difference]
    better = tuple(row for row, d in compared if d.low > 0)
    worse = tuple(row for row, d in compared if d.high < 0)
    unclear = tuple(row for row, d in compared if d.low <= 0 <= d.high)
    return _Field(better, unclear, worse, tuple(r for r in rows if not (r.measurement and r.difference)))


def _honesty(ece: CalibrationError, reliability: Reliability) -> str:
    """Return "honest", "unknown" (too little data to tell), or which way the model errs."""
    if ece.value <= ece.band_high:
        # Below about a hundred comparisons the error is taken over a few bins, and faults within one cancel.
        enough = ece.n >= FEW_COMPARISONS and reliability.n_units >= FEWEST_UNITS
        return "honest" if enough and ece.band_high <= BLUNT_BAND else "unknown"
    confidence, share = mean_confidence(reliability)
    if abs(confidence - share) < ece.value / 2:
        return "miscalibrated"
    return "over-confident" if confidence > share else "under-confident"


def _headline(measured: Measurement, field: _Field, honesty: str, unit: str) -> tuple[Tone, str]:
    known = measured.accuracy
    if known is None:
        return "unknown", "Every held-out comparison is a tie, so agreement cannot be measured"
    if known.n_units < FEWEST_UNITS:
        held = f"{count(known.n, 'comparison')} from only {count(known.n_units, unit)}"
        return "unknown", f"Too little data to tell: {held}"
    if known.high < 0.5:
        return "bad", "Worse than a coin toss: it prefers what the labels reject"
    if known.low <= 0.5:
        return "bad", "Not shown to be better than a coin toss"
    if field.worse:
        return "bad", f"Worse than {_names(field.worse)}"
    if field.unclear:
        return "mixed", f"Better than a coin toss, but not shown to be better than {_names(field.unclear, 'or')}"
    return _headline_of_a_winner(field, honesty)


def _headline_of_a_winner(field: _Field, honesty: str) -> tuple[Tone, str]:
    if not field.better:
        return "mixed", "Better than a coin toss; no baseline was measured beside it"
    won = "Better than every baseline that was measured" if field.unmeasured else "Better than every baseline"
    if honesty == "honest":
        return "good", f"{won}, and its probabilities are honest"
    if honesty == "unknown":
        return "good", f"{won}; whether its probabilities are honest takes more data"
    return "mixed", f"{won}, but its probabilities are {honesty}"


def _agreement(measured: Measurement, data: ReportData) -> str:
    known = measured.accuracy
    if known is None:
        return f"None of the {count(measured.n, 'held-out comparison')} has a majority for one side."
    ties = f" ({count(measured.n_ties, 'tie')} left out)" if measured.n_ties else ""
    return (
        f"On {count(known.n, 'held-out comparison')} from {count(known.n_units, data.unit)}{ties}, the reward model"
        f" agrees with {people(data)} on {percent(known.value)} ({_interval(known)})."
    )


def _against(field: _Field) -> list[str]:
    said = []
    if field.better:
        beaten = listing(f"“{row.name}” ({_accuracy(row)})" for row in field.better)
        said.append(f"It beats {beaten}{_lead(field.better)}.")
    if field.unclear:
        joint = "these intervals include 0" if len(field.unclear) > 1 else "the interval includes 0"
        said.append(f"It is not shown to be better than {_compared(field.unclear)}; {joint}.")
    if field.worse:
        said.append(f"It does worse than {_compared(field.worse)}.")
    if field.unmeasured:
        said.append(f"Not compared: {_names(field.unmeasured)}.")
    if not (field.better or field.unclear or field.worse):
        said.append("No baseline was compared, so nothing shows whether this is hard to reach.")
    return said


def _reads_the_prompt(row: Row | None) -> list[str]:
    """Say what exchanging the prompts did; taste that ignores the prompt is no fake, but should be known."""
    if row is None or not (row.measurement and row.difference):
        return []
    under = f"under prompts that belong to other responses it agrees on {_accuracy(row)}"
    gap = f"difference {points(row.difference.value)}, {_span(row.difference)}"
    if row.difference.low > 0:
        return [f"It reads the prompt: {under} ({gap})."]
    return [f"Nothing shows that it reads the prompt: {under} ({gap}). It may judge texts by themselves."]


def _probabilities(ece: CalibrationError, honesty: str, confidence: float, share: float) -> str:
    error = f"calibration error (debiased ECE) {plain_number(ece.value)}"
    null = f"a perfectly calibrated model would show up to {plain_number(ece.band_high)} at this size"
    if honesty == "honest":
        return f"Its probabilities are honest: {error}, and {null}."
    if honesty == "unknown":
        return f"Nothing speaks against its probabilities ({error}; {null}), but so little data would hide some faults."
    on_average = f"on average it is {percent(confidence)} sure, and gets {percent(share)} of the votes"
    if honesty == "miscalibrated":
        return f"Its probabilities are off, in both directions: {error}, where {null}; {on_average}."
    return f"Its probabilities are {honesty}: {error}, where {null}; {on_average}."


def _cautions(measured: Measurement, unit: str) -> tuple[str, ...]:
    known = measured.accuracy
    if known is None:
        return ("Comparisons on which annotators take sides are needed to measure agreement.",)
    half = (known.high - known.low) / 2
    if known.n >= FEW_COMPARISONS and known.n_units >= FEW_UNITS and half <= WIDE:
        return ()
    held = f"{count(known.n, 'comparison')} from {count(known.n_units, unit)} leave"
    said = f"This is a small test set: {held} agreement uncertain by about ±{points(half, 0)[1:]}."
    if known.n_units < FEWEST_UNITS:
        return (f"{said} Hold out at least {count(FEW_UNITS, unit)}.",)
    if half <= WORTH_HAVING:
        return (f"{said} Few {unit}s may not stand for others.",)
    times = plain_number((half / WORTH_HAVING) ** 2, 0 if half > 2 * WORTH_HAVING else 1)
    return (f"{said} About {times} times as many {unit}s would bring it to ±5 points.",)


def _names(rows: tuple[Row, ...], last: str = "and") -> str:
    return listing((f"“{row.name}”" for row in rows), last)


def _accuracy(row: Row) -> str:
    known = row.measurement.accuracy if row.measurement else None
    return percent(known.value) if known else "every comparison a tie"


def _compared(rows: tuple[Row, ...]) -> str:
    """Return baselines with their accuracies, and the differences with their intervals."""
    gaps = [(row, row.difference) for row in rows if row.difference]
    return listing(f"“{row.name}” ({_accuracy(row)}; difference {points(d.value)}, {_span(d)})" for row, d in gaps)


def _lead(rows: tuple[Row, ...]) -> str:
    """Return how far the closest of the baselines that are beaten is behind."""
    value, _, closest = min((row.difference.value, i, row.difference) for i, row in enumerate(rows) if row.difference)
    who = "the closest is" if len(rows) > 1 else "that is"
    return f"; {who} {points(value).lstrip('+')} behind ({_span(closest)})"


def _span(difference: Estimate) -> str:
    return f"{level(difference)} interval {points_interval(difference)}"


def _interval(known: Estimate) -> str:
    return f"{level(known)} interval {percent_interval(known)}"
