"""What every benchmark writes beside its figures: the machine that they were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from rewardkit.runs import versions


def machine(**more: object) -> dict[str, object]:
    """Describe this machine."""
    return {"processor": processor(), "cores": os.cpu_count(), "versions": versions(), **more}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
