from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

WORK = """
import resource, torch
from rewardkit.hardware import device
device()
def layer():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(4 << 20) for _ in range(10)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
[layer() for _ in range(10)]
print(max(layer() for _ in range(5)))
"""
PAGES = (160 << 20) // 4096


def faults(**environment):
    """Return how many pages a process takes anew for ten blocks of 16 MiB, again and again."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", WORK], env={**own, **environment}, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="malloc is not glibc's")
def test_what_is_freed_is_kept_unless_the_user_chose_otherwise():
    assert faults() < 0.2 * PAGES
    assert faults(MALLOC_TRIM_THRESHOLD_="131072") > 0.8 * PAGES
