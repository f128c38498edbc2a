"""An audit's findings → its figures: agreement of judges and rivals, rank correlations, and reliability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewardkit.audit.compute import Compute
from rewardkit.audit.judges import JudgeAudit, PairAudit, RatingAudit
from rewardkit.audit.results import Finding
from rewardkit.calibration.estimates import Estimate
from rewardkit.report.figures import (
    LINE_HEIGHT,
    PALETTE,
    Picture,
    draw,
    reliability_in_words,
    style_forest,
    style_reliability,
)
from rewardkit.report.forest import Forest, ForestLine
from rewardkit.report.formats import percent, plain_interval, plain_number, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OVERVIEW = "judges"
FIRST_SHOWN = "prefers what was shown first"


@dataclass(frozen=True)
class RankLine:
    """A judge's rank correlation, and that of one person with the others."""

    name: str
    judge: Estimate
    people: Estimate | None


@dataclass(frozen=True)
class RankLines:
    """Rank correlations, one line each, about 0."""

    lines: tuple[RankLine, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "lines": [
                {
                    "name": line.name,
                    "judge": line.judge.to_json(),
                    "people": line.people.to_json() if line.people else None,
                }
                for line in self.lines
            ]
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each with its name above it: the judge as a dot with its interval, people as a ring."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        across = ax.get_yaxis_transform()
        for place, line in enumerate(self.lines):
            known = line.judge
            ax.plot(
                [known.low, known.high], [place, place], linewidth=2.2, solid_capstyle="butt", color=PALETTE["accent"]
            )
            ax.plot([known.value], [place], marker="o", markersize=7, color=PALETTE["accent"])
            if line.people is not None:
                colour = PALETTE["second"]
                ax.plot([line.people.value], [place], marker="o", markersize=8, color=colour, fillstyle="none", mew=1.8)
            value = f"{plain_number(known.value, 2)}  ({plain_interval(known.low, known.high, 2)})"
            for x, text, side in ((0.0, line.name, "left"), (1.0, value, "right")):
                ax.text(x, place - 0.24, readable(text), transform=across, ha=side, va="bottom", parse_math=False)
        count = len(self.lines)
        ends = [place - 0.16 for place in range(count)], [place + 0.16 for place in range(count)]
        ax.vlines([0.0] * count, *ends, linewidth=1, color=PALETTE["line"])
        ax.set(ylim=(count - 0.5, -0.85), yticks=[], xlabel="rank correlation with people", xlim=(-1.02, 1.02))
        ax.spines["left"].set_visible(False)
        return ax


def draw_overview(judges: Iterable[JudgeAudit]) -> Picture | None:
    """Draw the agreement of all judges that compare, the best first; nothing where there are fewer than two."""
    found = [(judge.name, judge.pairs.overall.accuracy) for judge in judges if judge.pairs]
    lines = sorted(_measured(found), key=lambda line: -line.accuracy.value)
    return _forest(OVERVIEW, lines) if len(lines) > 1 else None


def draw_judge(place: int, judge: JudgeAudit) -> dict[str, Picture]:
    """Draw the figures of one judge, by what they show: agreement, order, reliability, votes, ranks.

    Args:
        place: The judge's number on the page; names of judges are no names of files.
        judge: The judge.
    """
    found: dict[str, Picture] = {}
    if judge.pairs is not None:
        lines = _measured(_agreements(judge.pairs))
        if lines:
            found["agreement"] = _forest(f"judge-{place}-agreement", lines)
        shown = judge.pairs.position
        lines = _measured((("same verdict in both orders", shown.consistency), (FIRST_SHOWN, shown.prefers_first)))
        if lines:
            found["order"] = _forest(f"judge-{place}-order", lines, "share of comparisons")
        diagram = judge.pairs.honesty.reliability
        if diagram is not None:
            words = reliability_in_words(diagram)
            found["reliability"] = draw(f"judge-{place}-reliability", diagram, style_reliability, words)
        lines = _measured(_after_votes(judge.pairs.compute))
        if lines:
            found["votes"] = _forest(f"judge-{place}-votes", lines)
    ranks = _ranks(judge.ratings)
    if ranks.lines:
        tall = LINE_HEIGHT * len(ranks.lines) + 0.75
        found["ranks"] = draw(f"judge-{place}-ranks", ranks, lambda ax: None, _ranks_in_words(ranks), height=tall)
    return found


def _after_votes(found: Compute) -> list[tuple[str, Finding]]:
    return [(f"{each.votes} {'vote' if each.votes == 1 else 'votes'}", each.accuracy) for each in found.by_votes]


def _agreements(pairs: PairAudit) -> list[tuple[str, Finding]]:
    found = [("this judge", pairs.overall.accuracy), ("… in one order only", pairs.position.one_order)]
    found += [(f"… with {part.name}", part.accuracy) for part in pairs.by_group]
    return found + [(rival.name, rival.accuracy) for rival in (pairs.ceiling, *pairs.rivals)]


def _measured(found: Iterable[tuple[str, Finding]]) -> list[ForestLine]:
    return [ForestLine(name, finding.estimate) for name, finding in found if finding.estimate]


def _forest(name: str, lines: list[ForestLine], axis: str = "agreement with the human majority") -> Picture:
    forest = Forest(tuple(lines))

    def style(ax: Axes) -> None:
        style_forest(ax)
        ax.set_xlabel(axis)

    words = "; ".join(f"{line.name} {percent(line.accuracy.value)}" for line in forest.lines)
    label = f"{axis[0].upper()}{axis[1:]}, with intervals: {words}."
    return draw(name, forest, style, label, height=LINE_HEIGHT * len(lines) + 0.75)


def _ranks(ratings: Iterable[RatingAudit]) -> RankLines:
    found = [
        RankLine(f"{rating.criterion}, {rank.group}", rank.judge.estimate, rank.people.estimate)
        for rating in ratings
        for rank in rating.ranks
        if rank.judge.estimate
    ]
    return RankLines(tuple(found))


def _ranks_in_words(ranks: RankLines) -> str:
    lines = "; ".join(f"{line.name} {plain_number(line.judge.value, 2)}" for line in ranks.lines)
    return f"Rank correlation with people, with intervals: {lines}."
