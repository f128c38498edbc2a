"""Where a text may be cut: windows that are read one after the other, and the paragraphs that a reader meets.

Offsets count characters of the text as it is stored, so that what is said of a passage finds it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# From where a cut hurts least to where it hurts most. Texts without spaces end their sentences with signs of their own.
_BREAKS = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？][」』”’）]*\s*"),
    re.compile(r"\s+"),
)
_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n){2,}")
_LINE = re.compile(r"\n+")


@dataclass(frozen=True)
class Passage:
    """A part of a text, from `start` up to `end`, in characters."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """Return what stands there."""
        return text[self.start : self.end]


def windows(text: str, characters: int) -> list[Passage]:
    """Cut a text into windows that follow each other without gap or overlap.

    A window ends with a paragraph, else with a line, a sentence or a word, whichever is found first in its second half.

    Args:
        text: Any text.
        characters: Longest window.
    """
    found, start = [], 0
    while len(text) - start > characters:
        end = _cut(text, start + characters // 2, start + characters)
        found.append(Passage(start, end))
        start = end
    return [*found, Passage(start, len(text))]


def _cut(text: str, low: int, high: int) -> int:
    """Return the last place in (low, high] at which a cut hurts least."""
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, low, high)]
        if ends:
            return ends[-1]
    return high


@dataclass(frozen=True)
class Paragraphs:
    """A text's paragraphs.

    Attributes:
        passages: Those that are looked at: short ones are joined with the next, and all once more where there are too
            many of them.
        found: How many there are in the text.
    """

    passages: tuple[Passage, ...]
    found: int


def paragraphs(text: str, *, least: int, most: int) -> Paragraphs:
    """Find the paragraphs of a text: between blank lines, or the lines of a text that has none.

    Args:
        text: Any text with something in it.
        least: A paragraph of fewer characters is joined with the next one, the last with the one before.
        most: How many are returned at most; more are joined evenly.
    """
    whole = _between(text, _BLANK_LINES)
    whole = whole if len(whole) > 1 else _between(text, _LINE)
    joined: list[Passage] = []
    for passage in whole:
        if joined and joined[-1].end - joined[-1].start < least:
            passage = Passage(joined.pop().start, passage.end)
        joined.append(passage)
    if len(joined) > 1 and joined[-1].end - joined[-1].start < least:
        last = joined.pop()
        joined.append(Passage(joined.pop().start, last.end))
    groups = min(len(joined), most)
    bounds = [len(joined) * n // groups for n in range(groups + 1)] if groups else []
    merged = (Passage(joined[a].start, joined[b - 1].end) for a, b in zip(bounds, bounds[1:], strict=False))
    return Paragraphs(tuple(merged), len(whole))


def _between(text: str, border: re.Pattern[str]) -> list[Passage]:
    """Return what stands between borders, without the space around it."""
    edges = [0, *(edge for match in border.finditer(text) for edge in match.span()), len(text)]
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        part = text[start:end]
        if stripped := part.strip():
            begin = start + len(part) - len(part.lstrip())
            found.append(Passage(begin, begin + len(stripped)))
    return found
