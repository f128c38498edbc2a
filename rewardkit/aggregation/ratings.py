"""Ratings → one value for each response and criterion, on the human scale.

People count as they say. A judge's ratings come onto the people's scale by a line that is fitted where both have rated,
on the train split alone; a judge that does not rise with the people is not used. Scales are brought to 0…1 first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rewardkit.aggregation.anchor import Interval, interval
from rewardkit.aggregation.splits import Placement
from rewardkit.types import Annotator, Rating, Record, SoftRating

FEWEST = 10
"""Responses rated by both, below which no line is fitted."""
AT_THEIR_WORD, WITHOUT_PEOPLE = "vote_share", "judges_alone"
BY_PARAGRAPH = "process."
"""How the protocols are called whose ratings say of each paragraph how the text goes up to there."""


@dataclass(frozen=True)
class Line:
    """How judges' ratings come onto the people's scale: mean_human + slope · (judge − mean_judge).

    Attributes:
        slope: ≥ 0; 0 where the judges are not used.
        estimate: Before it was kept from going below 0, with its interval; None where nothing could be fitted.
        note: What to know about it; empty where all is well.
    """

    mean_human: float = 0.0
    mean_judge: float = 0.0
    slope: float = 0.0
    estimate: Interval | None = None
    note: str = ""

    def __call__(self, value: float) -> float:
        """Return a judge's rating on the people's scale, from 0 to 1."""
        return min(max(self.mean_human + self.slope * (value - self.mean_judge), 0.0), 1.0)


SAME = Line(slope=1.0, note="the judges are taken at their word")


class RatedCriterion(Record):
    """What was learnt about the ratings on one criterion.

    Attributes:
        responses: Responses that got a value.
        by_human: Those of them that people rated.
        by_both: Responses of the train split that people and judges rated.
        judge_slope: What a judge's rating is worth: 1 as it stands, 0 not used.
        judge_slope_estimate: The same before it was kept from going below 0, with its interval.
        judge_note: What to know about the judges.
    """

    responses: int
    by_human: int
    by_both: int
    judge_slope: float
    judge_slope_estimate: Interval | None = None
    judge_note: str = ""


@dataclass
class _Heard:
    """What was said about one response on one criterion: a value a person, a value a judge, and judges' paragraphs."""

    human: list[float] = field(default_factory=list)
    judge: list[float] = field(default_factory=list)
    parts: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class RatedResponses:
    """Soft ratings of responses.

    Attributes:
        ratings: By response id.
        criteria: What was learnt about each criterion.
    """

    ratings: Mapping[str, tuple[SoftRating, ...]]
    criteria: Mapping[str, RatedCriterion]


def rate(
    ratings: Iterable[Rating], annotators: Iterable[Annotator], placements: Mapping[str, Placement], method: str
) -> RatedResponses:
    """Combine ratings.

    Args:
        ratings: Any, in any order; the latest version of each counts.
        annotators: Everyone who gave one.
        placements: Of the responses that are asked about, by id; others are passed over.
        method: The aggregator of the comparisons: with "vote_share" judges are taken at their word, with
            "judges_alone" people decide nothing but what judges are worth.
    """
    known = list(annotators)
    people = {annotator.id for annotator in known if annotator.kind == "human"}
    detailed = {annotator.id for annotator in known if (annotator.protocol or "").startswith(BY_PARAGRAPH)}
    found: dict[str, list[SoftRating]] = defaultdict(list)
    criteria = {}
    for criterion, heard in sorted(_heard(ratings, people, detailed, placements).items()):
        line, both = _line(heard, placements)
        line = SAME if method == AT_THEIR_WORD else line
        if method == WITHOUT_PEOPLE:
            heard = {key: replace(each, human=[]) for key, each in heard.items()}
        responses = human = 0
        for response, each in sorted(heard.items()):
            made = _soft(criterion, each, line)
            found[response] += made
            responses += bool(made)
            human += bool(each.human)
        criteria[criterion] = RatedCriterion(
            responses=responses,
            by_human=human,
            by_both=both,
            judge_slope=line.slope,
            judge_slope_estimate=line.estimate,
            judge_note=line.note,
        )
    return RatedResponses({key: tuple(made) for key, made in found.items() if made}, criteria)


def _heard(
    ratings: Iterable[Rating], people: set[str], detailed: set[str], placements: Mapping[str, Placement]
) -> dict[str, dict[str, _Heard]]:
    """Gather what was said, by criterion and response; repeats of one annotator are one value."""
    everything = [rating for rating in ratings if rating.response_id in placements]
    old = {rating.supersedes for rating in everything if rating.supersedes}
    said: dict[tuple[str, str, str], list[Rating]] = defaultdict(list)
    for rating in everything:
        if rating.status == "ok" and rating.value is not None and rating.id not in old:
            said[rating.criterion, rating.response_id, rating.annotator_id].append(rating)
    found: dict[str, dict[str, _Heard]] = defaultdict(lambda: defaultdict(_Heard))
    for (criterion, response, annotator), theirs in sorted(said.items()):
        heard = found[criterion][response]
        mean = math.fsum(map(_share, theirs)) / len(theirs)
        (heard.human if annotator in people else heard.judge).append(mean)
        for end, level in _parts(theirs).items() if annotator in detailed else ():
            heard.parts[end].append(level)
    return found


def _parts(theirs: Sequence[Rating]) -> dict[int, float]:
    """Return what an annotator says of a text up to each place; repeats are one value."""
    found: dict[int, list[float]] = defaultdict(list)
    for part in (part for rating in theirs for part in rating.metadata.get("paragraphs", ())):
        found[part["end"]].append(part["level"])
    return {end: _mean(levels) for end, levels in found.items()}


def _share(rating: Rating) -> float:
    """Return a rating as a share of its scale."""
    assert rating.value is not None
    low, high = rating.scale
    return (rating.value - low) / (high - low) if high > low else 0.0


def _line(heard: Mapping[str, _Heard], placements: Mapping[str, Placement]) -> tuple[Line, int]:
    """Fit the line by least squares, and keep it from falling."""
    both = [
        (_mean(each.judge), _mean(each.human), placements[response].unit)
        for response, each in heard.items()
        if each.judge and each.human and placements[response].split == "train"
    ]
    if not any(each.judge for each in heard.values()):
        return Line(note="no judge has rated"), 0
    if len(both) < FEWEST:
        why = f"{len(both)} train responses have human and judge ratings, of at least {FEWEST}: the judges are not used"
        return Line(note=why), len(both)
    x, y = (np.array(column, dtype=np.float64) for column in list(zip(*both, strict=True))[:2])
    judge, human = float(x.mean()), float(y.mean())
    spread = float(np.square(x - judge).sum())
    if spread == 0:
        return Line(note="the judges rate all alike: they are not used"), len(both)
    slope = float(((x - judge) * (y - human)).sum()) / spread
    influence = (x - judge) * (y - human - slope * (x - judge)) / spread
    estimate = interval(slope, influence, [unit for _, _, unit in both])
    return Line(human, judge, max(slope, 0.0), estimate, _note(estimate)), len(both)


def _note(estimate: Interval) -> str:
    if estimate.value <= 0:
        return "the judges' ratings do not rise with the people's: they are not used"
    if estimate.low is None or estimate.low <= 0:
        return "the interval of the judges' slope includes 0: more human ratings would tell whether they help"
    return ""


def _soft(criterion: str, heard: _Heard, line: Line) -> list[SoftRating]:
    """Return what is believed of one response; what people say of the whole needs no judge."""
    n_human, n_judge = len(heard.human), len(heard.judge) if line.slope > 0 else 0
    found = []
    if n_human:
        found.append(SoftRating(criterion=criterion, value=_mean(heard.human), n_human=n_human))
    elif n_judge:
        found.append(SoftRating(criterion=criterion, value=line(_mean(heard.judge)), n_judge=n_judge))
    for end, levels in sorted(heard.parts.items()) if n_judge else ():
        found.append(SoftRating(criterion=criterion, value=line(_mean(levels)), end=end, n_judge=len(levels)))
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
