"""Who stands where: comparisons → units → splits, so that nothing stands on two sides.

A unit's split is a hash of its name and the seed against the cumulative fractions: no state, no order,
and adding data never moves a unit that stays the same. (By text, new data can join two units into one;
only then can a comparison move.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from rewardkit.aggregation.votes import ComparisonTexts
from rewardkit.config import SplitConfig
from rewardkit.errors import DataError
from rewardkit.types import Comparison, Split, content_id

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Placement:
    """Where a comparison stands."""

    unit: str
    split: Split


def place(comparisons: Iterable[ComparisonTexts], config: SplitConfig, seed: int) -> dict[str, Placement]:
    """Assign every comparison its unit and split.

    A split that was set at import wins, for the whole unit.

    Args:
        comparisons: The comparisons with their texts.
        config: What a unit is, and the fractions.
        seed: Of the hash.

    Returns:
        Placements by comparison id, in the order given.

    Raises:
        DataError: Two splits were set inside one unit.
    """
    items = list(comparisons)
    units = assign_units(items, config.by)
    fixed = _fixed_splits((item.comparison for item in items), units)
    drawn = {unit: fixed.get(unit) or draw_split(unit, config, seed) for unit in set(units.values())}
    return {key: Placement(unit, drawn[unit]) for key, unit in units.items()}


def assign_units(comparisons: Iterable[ComparisonTexts], by: Literal["prompt", "text"]) -> dict[str, str]:
    """Return the unit of each comparison, by comparison id.

    Args:
        comparisons: The comparisons with their texts.
        by: "prompt": the prompt's id. "text": connected components of comparisons that share the text
            of a response (whatever its id) or a group. Prompts join nothing then: data sets of texts
            without a prompt, or of many texts for one prompt, are what it is for.
    """
    if by == "prompt":
        return {item.comparison.id: item.comparison.prompt_id for item in comparisons}
    keys = {item.comparison.id: _text_keys(item) for item in comparisons}
    forest = _Forest()
    for first, *others in keys.values():
        for other in others:
            forest.join(first, other)
    return {comparison_id: forest.name(first) for comparison_id, (first, *_) in keys.items()}


def draw_split(unit: str, config: SplitConfig, seed: int) -> Split:
    """Return the split of a unit: the hash of seed and unit, against the cumulative fractions."""
    at = int(content_id("split", str(seed), unit), 16) / 2**128
    shares = [(split, getattr(config, split)) for split in SPLITS if getattr(config, split) > 0]
    for split, share in shares:
        if at < share:
            return split
        at -= share
    return shares[-1][0]


def require_splits(placements: Mapping[str, Placement], config: SplitConfig) -> None:
    """Refuse a division with which nothing can be trained, calibrated and tested.

    Args:
        placements: Of the comparisons that have labels.
        config: The fractions; a split with a fraction above 0 is needed.

    Raises:
        DataError: Nothing is labelled, all is one unit, or a needed split is empty.
    """
    where = "aggregate.split"
    if not placements:
        raise DataError("no comparison has a usable label", where=where, fix="import or collect labels first")
    units = {placement.unit for placement in placements.values()}
    needed = [split for split in SPLITS if getattr(config, split) > 0]
    if len(units) == 1 and len(needed) > 1:
        raise DataError(
            f"all {len(placements)} labelled comparisons are one unit and cannot be divided",
            where=where,
            expected=f"several units (now by {config.by})",
            fix=_fix(config),
        )
    present = Counter(placement.split for placement in placements.values())
    empty = [split for split in needed if not present[split]]
    if empty:
        raise DataError(
            f"nothing falls into {' and '.join(empty)}: {len(placements)} labelled comparisons in {len(units)} units",
            where=where,
            expected="labelled comparisons in " + ", ".join(needed),
            fix=_fix(config),
        )


def _fix(config: SplitConfig) -> str:
    other = "set aggregate.split.by: text, or " if config.by == "prompt" else ""
    return f"{other}bring more data, or set the fraction of a split that is not needed to 0"


def _fixed_splits(comparisons: Iterable[Comparison], units: Mapping[str, str]) -> dict[str, Split]:
    found: dict[str, dict[Split, str]] = defaultdict(dict)
    for comparison in comparisons:
        if comparison.split is not None:
            found[units[comparison.id]].setdefault(comparison.split, comparison.id)
    for unit, splits in found.items():
        if len(splits) > 1:
            ids = " and ".join(f"{key} ({split})" for split, key in sorted(splits.items()))
            raise DataError(
                f"comparisons of one unit were imported with different splits: {ids}",
                where=f"unit {unit}",
                expected="one split for all comparisons that share a prompt or text",
                fix="correct the split in the file, or leave it out",
            )
    return {unit: next(iter(splits)) for unit, splits in found.items()}


def _text_keys(item: ComparisonTexts) -> tuple[str, ...]:
    texts = tuple(content_id("text", response.text) for response in (item.response_a, item.response_b))
    group = item.comparison.group
    return texts if group is None else (*texts, content_id("group", group))


class _Forest:
    """Union-find; a component is named by its smallest key, so that no order matters."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def name(self, key: str) -> str:
        root = key
        while self.parent.get(root, root) != root:
            root = self.parent[root]
        while key != root:
            self.parent[key], key = root, self.parent[key]
        return root

    def join(self, one: str, other: str) -> None:
        small, large = sorted((self.name(one), self.name(other)))
        self.parent[large] = small
