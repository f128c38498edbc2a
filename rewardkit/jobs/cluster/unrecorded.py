"""Money that was spent and stands on no label in the store: noted beside the shards, for the next run to know of.

    {"ANNOTATOR/said/RUN-000000.parquet": 0.25, "ANNOTATOR": 0.5}

What a judge spends on a shard is noted under the file that is to tell of it, until it does. What no file will tell of
stays, under the annotator in whose name it was spent: whoever shares a budget with it pays for that, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from rewardkit.runs import write_json

SHARDS = "shards"
"""Folder of a job's stage, in which all of this stands."""
FILE = "unrecorded.json"


def folder_of(annotator_id: str) -> str:
    """Return the name of an annotator's folder among the shards."""
    return annotator_id[:16]


class Unrecorded:
    """What was spent and is not on record, by file or annotator.

    Args:
        place: The folder of all annotators of a job.
    """

    def __init__(self, place: Path) -> None:
        self._place, self._file = place, place / FILE
        self._amounts: dict[str, float] = orjson.loads(self._file.read_bytes()) if self._file.exists() else {}

    def key(self, file: Path) -> str:
        """Return under what it is noted that a file does not tell yet."""
        return file.relative_to(self._place).as_posix()

    def of(self, annotators: Iterable[str]) -> float:
        """Return what was spent in the names of annotators, by their ids."""
        folders = {folder_of(annotator) for annotator in annotators}
        return sum(amount for key, amount in self._amounts.items() if key.partition("/")[0] in folders)

    def add(self, key: str, amount: float) -> None:
        """Note what was spent."""
        self._amounts[key] = self._amounts.get(key, 0.0) + amount

    def told(self, key: str, amount: float = 0.0) -> None:
        """Drop what was noted about a file: it tells of all, but for an amount."""
        self._amounts[key] = amount

    def lost(self, key: str) -> None:
        """Take note that no file will tell."""
        self.add(key.partition("/")[0], self._amounts.pop(key, 0.0))

    def write(self) -> None:
        """Write what is to be known by the next run."""
        found = {key: amount for key, amount in self._amounts.items() if amount}
        if found or self._file.exists():
            write_json(self._file, found)
