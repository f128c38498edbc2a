"""Where a path that a user gave was looked for, when nothing is there."""

from __future__ import annotations

from pathlib import Path


def looked_in(path: str | Path) -> str:
    """Return the end of a sentence that says from which folder a path was taken; nothing for an absolute one."""
    return "" if Path(path).is_absolute() else f"; it was looked for in {Path.cwd()}"
