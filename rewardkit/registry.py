"""Extension points: plain dictionaries of names, and third parties' names through entry points.

A room keeps a dictionary (`LOSSES`, `CALIBRATORS`, …); a third party adds a name by declaring an entry
point in the group of the same name:

    [project.entry-points."rewardkit.losses"]
    my_loss = "my_package.losses:my_loss"
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TypeVar

from rewardkit.errors import ConfigError

T = TypeVar("T")


def registered(group: str, builtin: Mapping[str, T]) -> dict[str, T]:
    """Return all names of an extension point; rewardkit's own names cannot be replaced."""
    found: dict[str, T] = {point.name: point.load() for point in entry_points(group=f"rewardkit.{group}")}
    return {**found, **builtin}


def lookup(group: str, builtin: Mapping[str, T], name: str, *, where: str = "") -> T:
    """Return what is registered under a name.

    Args:
        group: The extension point.
        builtin: Its names here.
        name: The one that is asked for.
        where: The key of a config that names it.

    Raises:
        ConfigError: Nothing is; the nearest name is suggested.
    """
    names = registered(group, builtin)
    if name not in names:
        what, expected = f"unknown name {name!r} among {group}", ", ".join(sorted(names))
        raise ConfigError(what, where=where, expected=expected, fix=suggestion(name, names))
    return names[name]


def suggestion(name: str, names: Mapping[str, object]) -> str:
    """Return "did you mean …?" for the nearest name, or nothing."""
    close = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
