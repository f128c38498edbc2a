"""Several processes that one command started (torchrun, accelerate launch), each of which runs the same verb."""

from __future__ import annotations

import os
from dataclasses import dataclass

FSDP = "ACCELERATE_USE_FSDP"
"""Set by `accelerate launch --use_fsdp`."""


@dataclass(frozen=True)
class Launched:
    """Which process this is, of how many that one command started.

    Attributes:
        index: From 0.
        count: On all machines.
        local: From 0, on this machine: which of its accelerators is this process's.
    """

    index: int
    count: int
    local: int

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1


def fsdp_asked() -> bool:
    """Say whether the launcher wants the base in parts."""
    return os.environ.get(FSDP, "false").lower() == "true"


def launched() -> Launched:
    """Return what the launcher says in the environment; one process without it."""
    rank, size, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Launched(rank, max(size, 1), local)
