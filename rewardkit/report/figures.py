"""Results → figures: SVG that stands alone, the same SVG inside a page, and the numbers beside it.

A figure is drawn once, transparent and in mid-contrast colours that read on white and on black. Inside
a page each of its colours becomes a CSS variable, so that the page's own light and dark palettes apply.
Text stays text: it is set in the page's font, can be searched, and needs no font in the file.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from markupsafe import Markup

from rewardkit.calibration.reliability import MarginHistogram, Reliability
from rewardkit.report.data import ReportData
from rewardkit.report.forest import Forest
from rewardkit.report.formats import count, percent, readable
from rewardkit.runs import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Contrast of each with white and with black is 4.3 or more. The names are those of the page's CSS
# variables (--figure-ink, …).
PALETTE = {"ink": "#757575", "line": "#8c8c8c", "accent": "#3a7bc8", "second": "#bd5f2a"}
WIDTH, HEIGHT, LINE_HEIGHT = 4.6, 3.5, 0.52

_TAG = re.compile(r"<[^>]+>")
_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)
_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')


class Plottable(Protocol):
    """A result that draws itself and gives its numbers."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on axes."""


@dataclass(frozen=True)
class Picture:
    """A figure, drawn.

    Attributes:
        name: Name of its files.
        svg: The file's text; it needs nothing else.
        numbers: What is drawn, as JSON values.
        label: The figure in words, for those who do not see it.
    """

    name: str
    svg: str
    numbers: Mapping[str, Any]
    label: str

    def inline(self) -> Markup:
        """Return the figure as an element of a page: its own ids, the page's colours, a label."""
        opening, rest = self.svg.split(">", 1)
        box = opening.partition('viewBox="')[2].partition('"')[0]
        # A style element would apply to the whole page, which has these two rules in its own sheet.
        rest = _TAG.sub(lambda tag: _at_home(tag[0], self.name), _STYLE.sub("", rest, count=1))
        return Markup('<svg viewBox="{}" role="img" aria-label="{}">{}').format(box, self.label, Markup(rest))


def draw_all(data: ReportData) -> dict[str, Picture]:
    """Draw every figure that the data have something for, by name."""
    forest = Forest.of((data.model, *data.compared))
    pictures = [
        draw("reliability", data.reliability, style_reliability, reliability_in_words(data.reliability)),
        draw("margins", data.margins, _style_margins, _margins_in_words(data.margins)),
    ]
    if forest.lines:
        tall = LINE_HEIGHT * len(forest.lines) + 0.75
        pictures.append(draw("accuracy", forest, style_forest, _forest_in_words(forest), height=tall))
    if data.curve and data.curve.history:
        label = "Line chart of the training loss and the validation loss over the steps of training."
        pictures.append(draw("training", data.curve, _style_curve, label))
    return {picture.name: picture for picture in pictures}


def write_pictures(pictures: Mapping[str, Picture], folder: Path) -> None:
    """Write NAME.svg and NAME.json for each figure.

    Raises:
        OutputError: The folder cannot be written.
    """
    for name, picture in pictures.items():
        write_json(folder / f"{name}.json", picture.numbers)
        write_text(folder / f"{name}.svg", picture.svg)


def draw(name: str, result: Plottable, style: Callable[[Axes], None], label: str, *, height: float = HEIGHT) -> Picture:
    """Draw a result.

    Args:
        name: Of its files, and of its ids inside a page.
        result: What is drawn.
        style: Gives the axes the page's look.
        label: The figure in words.
        height: In inches.
    """
    from matplotlib.figure import Figure

    with _styled(name):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = result.plot(figure.add_subplot())
        style(axes)
        return Picture(name, _svg(figure), result.to_json(), readable(label))


@contextmanager
def _styled(name: str) -> Iterator[None]:
    """Set the look of what is drawn inside, and make equal numbers give equal files."""
    from matplotlib import rc_context
    from matplotlib.rcsetup import cycler

    ink, line = PALETTE["ink"], PALETTE["line"]
    look: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.prop_cycle": cycler(color=[PALETTE["accent"], PALETTE["second"]]),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": line,
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": line,
        "ytick.color": line,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "legend.frameon": False,
        "legend.fontsize": 9,
    }
    with rc_context(look), warnings.catch_warnings():
        # Text is set by whoever shows the file, in a font that has the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _svg(figure: Figure) -> str:
    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue().decode("utf-8")
    # Without the document type, which names a place on the network.
    return text[text.index("<svg") :]


def _at_home(tag: str, name: str) -> str:
    """Give a tag of a figure ids of its own and the page's colours."""
    tag = _REFERENCE.sub(rf"\g<1>{name}-", tag)
    for role, colour in PALETTE.items():
        tag = tag.replace(colour, f"var(--figure-{role}, {colour})")
    return tag


def style_reliability(ax: Axes) -> None:
    """Give a reliability diagram the page's look."""
    ax.lines[0].set_color(PALETTE["line"])
    ax.legend(loc="best")
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    ax.set(ylim=(min(ax.get_ylim()[0], 0.48), 1.02))


def _style_margins(ax: Axes) -> None:
    for bar in ax.patches:
        right = bar.get_x() + bar.get_width() / 2 > 0  # type: ignore[attr-defined]
        bar.set(facecolor=PALETTE["accent" if right else "second"], edgecolor="none")
    ax.lines[0].set_color(PALETTE["line"])
    ax.set_title("")
    for place, text in ((0.0, "← wrong side"), (1.0, "right side →")):
        ax.text(place, 1.0, text, transform=ax.transAxes, ha="right" if place else "left", va="bottom")


def style_forest(ax: Axes) -> None:
    """Give lines of accuracies the page's look: the first stands out."""
    for line in ax.lines[2:]:
        line.set_color(PALETTE["ink"])
    for mark in ax.collections:
        mark.set_color(PALETTE["line"])
    ax.spines["left"].set_visible(False)


def _style_curve(ax: Axes) -> None:
    ax.grid(axis="y", color=PALETTE["line"], alpha=0.25, linewidth=0.8)


def reliability_in_words(result: Reliability) -> str:
    """Say what a reliability diagram shows."""
    bins = "; ".join(f"{percent(b.confidence, 0)} sure, {percent(b.frequency.value, 0)} agree" for b in result.bins)
    return f"Reliability diagram over {count(result.n, 'comparison')}: {bins}."


def _margins_in_words(result: MarginHistogram) -> str:
    right = sum(n for n, edge in zip(result.counts, result.edges, strict=False) if edge >= 0)
    wrong = result.n - right
    return f"Histogram of margins over {count(result.n, 'comparison')}: {wrong} below 0 and {right} from 0 on."


def _forest_in_words(forest: Forest) -> str:
    lines = "; ".join(f"{line.name} {percent(line.accuracy.value)}" for line in forest.lines)
    return f"Agreement with the held-out labels, with intervals: {lines}."
