"""What `rewardkit simulate --size` found, as a table for people."""

from __future__ import annotations

from typing import Any

Summary = dict[str, Any]
LEGEND = {
    "overlap": "labels that each item gets",
    "gold": "share of the labels that goes to items whose answer is known",
    "items": "items that the budget pays for, or all that there are",
    "labels": "labels of these items and of gold",
    "cost": "of all labels, in the unit of simulate.study.price",
    "hours": "of all people together",
    "accuracy": "how often the majority is right: mean [where 95 % of the studies lie] n = items in a study in which "
    "one response is better",
    "without who fails": "the same, without the people who fail gold",
    "left out": "people who fail gold, in the mean study: rightly + wrongly (should have failed, and did not)",
}
"""The columns of a study's sizes."""


def as_table(sized: Summary) -> str:
    """Return what `size` found as lines for people."""
    heads = tuple(LEGEND)
    rows = [heads, *(_row(design) for design in sized["designs"])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    said = [f"{name}: {value}" for name, value in sized.items() if name != "designs"]
    notes = [f"{head.ljust(max(map(len, heads)))}  {LEGEND[head]}" for head in heads]
    return "\n".join([*said, "", *lines, "", *notes])


def _row(design: Summary) -> tuple[str, ...]:
    out = design["left_out"]
    left = f"{out['rightly']:.1f} + {out['wrongly']:.1f} ({out['missed']:.1f})" if out else ""
    counts = (f"{design['items']}", f"{design['labels']}", f"{design['cost']:.2f}", f"{design['hours']:.1f}")
    shares = (_interval(design["accuracy"]), _interval(design["accuracy_without"]))
    return (f"{design['overlap']}", f"{design['gold']:.0%}", *counts, *shares, left)


def _interval(share: Summary | None) -> str:
    if share is None:
        return ""
    return f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}] n = {share['n_items']}"
