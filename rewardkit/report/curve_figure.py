"""How much a reward model gains from more comparisons: one that was trained on each of several numbers of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardkit.calibration.evaluation import Measurement
from rewardkit.report.figures import PALETTE, Picture, draw, write_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "curve"


@dataclass(frozen=True)
class CurvePoint:
    """A model that was trained on so many comparisons, as it was measured on the test split."""

    n_train: int
    measured: Measurement


@dataclass(frozen=True)
class LearningCurve:
    """Models by the number of comparisons that they learned from.

    Attributes:
        points: In rising order.
        beside: What needs no training, by name: the same at every size.
    """

    points: tuple[CurvePoint, ...]
    beside: dict[str, Measurement]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "points": [{"n_train": point.n_train, **point.measured.to_json()} for point in self.points],
            "beside": {name: measured.to_json() for name, measured in self.beside.items()},
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw accuracy with its interval over the number of comparisons, and what needs no training as lines."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        known = [(point.n_train, point.measured.accuracy) for point in self.points if point.measured.accuracy]
        for n_train, accuracy in known:
            ends = [accuracy.low, accuracy.high]
            ax.plot([n_train, n_train], ends, linewidth=2.2, solid_capstyle="butt", color=PALETTE["accent"])
        ax.plot(
            [n for n, _ in known],
            [accuracy.value for _, accuracy in known],
            marker="o",
            color=PALETTE["accent"],
            label="reward model",
        )
        for style, (name, measured) in zip(("--", ":", "-."), self.beside.items(), strict=False):
            if measured.accuracy:
                ax.axhline(measured.accuracy.value, color=PALETTE["second"], linestyle=style, label=name)
        held_out = max((accuracy.n for _, accuracy in known), default=0)
        ax.set(
            xscale="log",
            xlabel="comparisons learned from",
            ylabel=f"agreement with people (n = {held_out:,})",
        )
        ax.set_xticks([n for n, _ in known], minor=False)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.set_minor_formatter("")
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        # Above the axes: within them it would lie on one of the lines.
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return ax


def draw_curve(curve: LearningCurve) -> Picture:
    """Draw a learning curve."""
    label = (
        "Line chart of the agreement with people on held-out comparisons over how many were learned from: "
        + "; ".join(
            f"{point.n_train}: {point.measured.accuracy.value:.2f}" for point in curve.points if point.measured.accuracy
        )
    )
    return draw(NAME, curve, lambda ax: ax.grid(axis="y", color=PALETTE["line"], alpha=0.25, linewidth=0.8), label)


def write_curve(curve: LearningCurve, folder: Path) -> None:
    """Write curve.svg and curve.json.

    Raises:
        OutputError: The folder cannot be written.
    """
    write_pictures({NAME: draw_curve(curve)}, folder)
