"""What an exporter is: a function of a store and a place, that tells what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rewardkit.store.store import Store


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Attributes:
        path: The file or folder.
        written: Lines or rows by kind.
        skipped: What was left out, by reason.
    """

    path: Path
    written: Mapping[str, int]
    skipped: Mapping[str, int] = field(default_factory=dict)


Exporter = Callable[[Store, Path], ExportSummary]
