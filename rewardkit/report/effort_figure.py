"""Judges by what a label of theirs takes: agreement with people against tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewardkit.audit.judges import JudgeAudit
from rewardkit.calibration.estimates import Estimate
from rewardkit.report.figures import PALETTE, Picture, draw
from rewardkit.report.formats import percent, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "effort"


@dataclass(frozen=True)
class EffortPoint:
    """What a judge's labels take, and how often it agrees with people."""

    name: str
    tokens: Estimate
    accuracy: Estimate


@dataclass(frozen=True)
class Effort:
    """Judges by the tokens of a label."""

    points: tuple[EffortPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "points": [
                {"name": point.name, "tokens": point.tokens.to_json(), "accuracy": point.accuracy.to_json()}
                for point in self.points
            ]
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each judge as a dot with its interval, its name beside it."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        for point in self.points:
            x, known = point.tokens.value, point.accuracy
            ax.plot([x, x], [known.low, known.high], linewidth=2.2, solid_capstyle="butt", color=PALETTE["accent"])
            ax.plot([x], [known.value], marker="o", markersize=7, color=PALETTE["accent"])
            beside = (7, 0)
            ax.annotate(
                readable(point.name),
                (x, known.value),
                xytext=beside,
                textcoords="offset points",
                va="center",
                parse_math=False,
            )
        ax.set(xscale="log", xlabel="tokens of a label", ylabel="agreement with the human majority")
        # Of a range within a power of ten, matplotlib writes powers of ten over each other.
        ax.set_xticks(_ticks([point.tokens.value for point in self.points]), minor=False)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.set_minor_formatter("")
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        # Names stand to the right of their dots.
        ax.margins(x=0.35)
        return ax


def _ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers from below the least value to above the greatest."""
    steps = [digit * 10**power for power in range(8) for digit in (1, 2, 5)]
    low = max(step for step in steps if step <= max(1.0, min(values)))
    high = min(step for step in steps if step >= max(values))
    return [float(step) for step in steps if low <= step <= high]


def draw_effort(judges: Iterable[JudgeAudit]) -> Picture | None:
    """Draw agreement against tokens; nothing where they are known of fewer than two judges that compare."""
    compared = [(judge.name, judge.pairs) for judge in judges if judge.pairs]
    points = tuple(
        EffortPoint(name, tokens, accuracy)
        for name, pairs in compared
        if (tokens := pairs.compute.tokens.estimate) and (accuracy := pairs.overall.accuracy.estimate)
    )
    if len(points) < 2:
        return None
    words = "; ".join(f"{p.name} {percent(p.accuracy.value)} for {p.tokens.value:.0f} tokens" for p in points)
    return draw(NAME, Effort(points), lambda ax: None, f"Agreement with the human majority by tokens: {words}.")
