"""The accuracies of the reward model and its baselines, one line each, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from rewardkit.calibration.estimates import Estimate
from rewardkit.report.data import Row
from rewardkit.report.formats import percent, percent_interval, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COIN = 0.5


@dataclass(frozen=True)
class ForestLine:
    """One accuracy."""

    name: str
    accuracy: Estimate


@dataclass(frozen=True)
class Forest:
    """Accuracies in the order in which they are drawn; the first is the reward model's."""

    lines: tuple[ForestLine, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """Take the rows whose accuracy was measured."""
        found = [(row.name, row.measurement.accuracy) for row in rows if row.measurement]
        return cls(tuple(ForestLine(name, accuracy) for name, accuracy in found if accuracy))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"coin": COIN, "lines": [{**asdict(line), "accuracy": line.accuracy.to_json()} for line in self.lines]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each accuracy with its name above it, so that long names and narrow pages agree."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        for place, line in enumerate(self.lines):
            known = line.accuracy
            ax.plot([known.low, known.high], [place, place], linewidth=2.2, solid_capstyle="butt", color="C0")
            ax.plot([known.value], [place], marker="o", markersize=7, color="C0")
            _label(ax, place, line)
        # One piece for each line, so that the coin's mark does not run through the names.
        ax.vlines([COIN] * len(self.lines), *_beside(len(self.lines)), linewidth=1, color="0.6")
        ax.set(ylim=(len(self.lines) - 0.5, -0.85), yticks=[], xlabel="agreement with held-out labels")
        ax.set_xlim(min([0.4, *(line.accuracy.low for line in self.lines)]) - 0.02, 1.02)
        ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        return ax


def _beside(count: int) -> tuple[list[float], list[float]]:
    return [place - 0.16 for place in range(count)], [place + 0.16 for place in range(count)]


def _label(ax: Axes, place: int, line: ForestLine) -> None:
    across = ax.get_yaxis_transform()
    value = f"{percent(line.accuracy.value)}  ({percent_interval(line.accuracy, 0)})"
    for x, text, side in ((0.0, line.name, "left"), (1.0, value, "right")):
        # Names are the user's: a dollar sign in one is no formula.
        ax.text(x, place - 0.24, readable(text), transform=across, ha=side, va="bottom", parse_math=False)
