"""Several processes that one command started (torchrun, accelerate launch), each of which runs the same verb."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launched:
    """Which process this is, of how many that one command started."""

    index: int
    count: int


def launched() -> Launched:
    """Return what the launcher says in the environment; one process without it."""
    return Launched(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
