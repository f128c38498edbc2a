"""Which model family a name belongs to, and which group a person: by the user's patterns, else by the name itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

_FIRST_WORD = re.compile(r"[a-z]+")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of some names or patterns (`gpt-4*`), whatever its capitals."""
    low = name.lower()
    return any(low == pattern.lower() or fnmatchcase(low, pattern.lower()) for pattern in patterns)


def named(name: str, groups: Mapping[str, Sequence[str]]) -> str | None:
    """Return the first group with a pattern for a name; None where there is none."""
    return next((group for group, patterns in groups.items() if matches(name, patterns)), None)


def family_of(model: str | None, families: Mapping[str, Sequence[str]]) -> str | None:
    """Return a model's family: what the user says, else the first word of its name without its owner.

    Example:
        >>> [family_of(name, {}) for name in ("meta-llama/Llama-3-8B", "gpt-4o", "GPT-4", None)]
        ['llama', 'gpt', 'gpt', None]
    """
    if not model:
        return None
    said = named(model, families)
    if said is not None:
        return said
    base = model.rstrip("/").rpartition("/")[2].lower()
    word = _FIRST_WORD.match(base)
    return word[0] if word else base or None
