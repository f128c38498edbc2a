"""What a monitor saw in the course of a training: numbers, a figure, and the alarm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardkit.calibration.estimates import Array, Estimate, clustered_mean
from rewardkit.rl.looking import AlarmRule, Change, Levels, Look, compare
from rewardkit.runs import atomic_writer, write_json
from rewardkit.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 0.95
AS_SHOWN = Levels(SHOWN, SHOWN)


@dataclass(frozen=True)
class History:
    """All looks so far.

    Attributes:
        rule: When there is an alarm.
        levels: By which comparisons are tested.
        looks: In order; the first is what all others are told against.
        changes: All comparisons of two looks that could be made, in the order in which they were.
    """

    rule: AlarmRule
    levels: Levels
    looks: tuple[Look, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def alarm(self) -> Change | None:
        """The first alarm; None while there is none."""
        return next((change for change in self.changes if change.alarm), None)

    def after(self, look: Look) -> History:
        """Return the history with one more look, compared with all that were before it."""
        first = self.looks[0] if self.looks else look
        found = (compare(first, earlier, look, self.rule, self.levels) for earlier in self.looks)
        changes = (*self.changes, *(change for change in found if change))
        return History(self.rule, self.levels, (*self.looks, look), changes)

    def since_start(self) -> tuple[Change, ...]:
        """Return each later look's change since the first, each with a 95 % interval of its own."""
        found = (compare(self.looks[0], self.looks[0], look, self.rule, AS_SHOWN) for look in self.looks[1:])
        return tuple(change for change in found if change)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "rule": self.rule.model_dump(),
            "levels": asdict(self.levels),
            "alarm": self.alarm.to_json() if self.alarm else None,
            "looks": [told(look) for look in self.looks],
            "since_start": [change.to_json() for change in self.since_start()],
            "tested": [change.to_json() for change in self.changes],
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how far both rewards have come since the first look, and where the alarm was."""
        ax = _axes(ax)
        changes = self.since_start()
        steps = [look.step for look in self.looks[:1]] + [change.step for change in changes]
        for name, colour in (("proxy", "C1"), ("held_out", "C0")):
            found: list[Estimate] = [getattr(change, name) for change in changes]
            middle, low, high = ([0.0, *(getattr(each, end) for each in found)] for end in ("value", "low", "high"))
            label = f"{name.replace('_', '-')} reward (n = {found[-1].n_units if found else 0} prompts)"
            ax.plot(steps, middle[: len(steps)], marker="o", color=colour, label=label)
            ax.fill_between(steps, low[: len(steps)], high[: len(steps)], alpha=0.2, color=colour, linewidth=0)
        if self.alarm:
            ax.axvline(self.alarm.step, color="C3", linestyle="--", label=f"alarm, since step {self.alarm.since}")
        ax.axhline(0, color="0.6", linewidth=1)
        ax.set(xlabel="step", ylabel="rise since the start,\nin standard deviations within a prompt")
        ax.legend(loc="upper left", fontsize="small")
        return ax

    def plot_traits(self, ax: Axes | None = None) -> Axes:
        """Draw length and diversity as multiples of the first look's, and the KL where the trainer logs it."""
        ax = _axes(ax)
        steps = [look.step for look in self.looks]
        traits = {
            "characters": [float(look.lengths.mean()) for look in self.looks],
            "distinct word pairs": [look.distinct for look in self.looks],
        }
        for name, values in traits.items():
            if values and values[0]:
                ax.plot(steps, [value / values[0] for value in values], marker="o", label=name)
        if known := [(look.step, look.kl) for look in self.looks if look.kl is not None]:
            ax.plot([], [], color="C2", linestyle=":", marker="s", label="KL (right axis)")
            beside = ax.twinx()
            beside.plot(*zip(*known, strict=True), color="C2", linestyle=":", marker="s")
            beside.set_ylabel("KL from the reference, nats")
        ax.axhline(1, color="0.6", linewidth=1)
        ax.set(xlabel="step", ylabel="as a multiple of the start")
        ax.legend(loc="upper left", fontsize="small")
        return ax

    def save(self, path: Path) -> None:
        """Write the figure (its kind by the name's ending) and the numbers beside it (`.json`)."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        self.plot(left)
        self.plot_traits(right)
        with atomic_writer(path) as file:
            figure.savefig(file, format=path.suffix.removeprefix(".") or "svg")
        write_json(path.with_suffix(".json"), self.to_json())


def told(look: Look) -> dict[str, Any]:
    """Return a look as plain JSON values, its means with intervals clustered by prompt."""
    return {
        "step": look.step,
        "proxy": _mean(look.proxy),
        "held_out": _mean(look.held_out),
        "missing": {"proxy": int(np.isnan(look.proxy).sum()), "held_out": int(np.isnan(look.held_out).sum())},
        "characters": _mean(look.lengths),
        "length_correlation": look.length_correlation,
        "distinct": look.distinct,
        "overlap": look.overlap,
        "kl": look.kl,
    }


def _mean(values: Array) -> dict[str, float | int | None] | None:
    places, _ = np.nonzero(~np.isnan(values))
    known = values[~np.isnan(values)]
    return clustered_mean(known, [str(place) for place in places], SHOWN).to_json() if len(known) else None


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(5, 4), layout="constrained").add_subplot()
