"""Criteria that code can decide: length, form, words that must or must not be there.

A check takes a text and its settings by name, and returns how far the text meets it, from 0 to 1. Third parties add
checks through the entry points `rewardkit.checks`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from rewardkit.registry import lookup

GROUP = "checks"
Check = Callable[..., float]


def words(text: str, *, least: int = 0, most: int | None = None) -> float:
    """Tell whether a text has so many words."""
    return _within(len(text.split()), least, most)


def lines(text: str, *, least: int = 0, most: int | None = None) -> float:
    """Tell whether a text has so many lines that are not empty."""
    return _within(sum(bool(line.strip()) for line in text.splitlines()), least, most)


def characters(text: str, *, least: int = 0, most: int | None = None) -> float:
    """Tell whether a text has so many characters."""
    return _within(len(text), least, most)


def without(text: str, *, words: list[str]) -> float:
    """Tell whether none of some words or phrases is in a text, in whatever case."""
    return float(not any(_has(text, word) for word in words))


def contains(text: str, *, words: list[str]) -> float:
    """Return the share of some words or phrases that is in a text, in whatever case."""
    return sum(_has(text, word) for word in words) / len(words) if words else 1.0


CHECKS: Mapping[str, Check] = {
    "characters": characters,
    "contains": contains,
    "lines": lines,
    "without": without,
    "words": words,
}


def check_named(name: str, settings: Mapping[str, Any]) -> Callable[[str], float]:
    """Return a check with its settings.

    Raises:
        ConfigError: Nothing has this name.
        ValueError: It takes no such settings, or not of this kind.
    """
    check = lookup(GROUP, CHECKS, name)
    try:
        inspect.signature(check).bind("", **settings)
        strict = validate_call(config=ConfigDict(strict=True))(check)
        strict("", **settings)
    except (TypeError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise ValueError(f"the check {name!r}: {what}") from error
    return lambda text: min(1.0, max(0.0, float(check(text, **settings))))


def _within(count: int, least: int, most: int | None) -> float:
    return float(least <= count and (most is None or count <= most))


def _has(text: str, word: str) -> bool:
    """Tell whether a word or phrase is in a text, not as a part of others."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
