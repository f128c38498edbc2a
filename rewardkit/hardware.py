"""What this machine computes with: device and dtype, chosen in one place."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from rewardkit.extras import require
from rewardkit.launching import launched

NF4 = "nf4"
"""Weights in four bits."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""As malloc.h names them."""
LARGEST_KEPT, MOST_KEPT = 32 << 20, 1 << 30
"""Bytes of a block, and of all, that this process keeps for the next layer when they are freed."""
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Where a user's own choice of allocator stands."""


def best_dtype() -> str:
    """Return bfloat16 where there is an accelerator or the CPU computes in it, else float32."""
    torch = require("torch", "train")
    if torch.accelerator.is_available():
        return "bfloat16"
    # Emulated bfloat16 is far slower than float32, so a CPU must have the instructions.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def dtype_of(name: str) -> Any:
    """Return torch's dtype of a name, in which is computed; "auto" is the best one here.

    What four bits stand for is computed in bfloat16 everywhere: other machines would make other weights of a base.
    """
    return getattr(require("torch", "train"), {"auto": best_dtype(), NF4: "bfloat16"}.get(name, name))


def device() -> Any:
    """Return the accelerator where there is one, else the CPU; each process of a launch has one of its own.

    On a CPU, what this process frees is then kept for what it needs next (up to 1 GiB).
    """
    torch = require("torch", "train")
    if not torch.accelerator.is_available():
        keep_memory()
        return torch.device("cpu")
    if launched().several:
        torch.accelerator.set_device_index(launched().local)
    return torch.device(torch.accelerator.current_accelerator().type, torch.accelerator.current_device_index())


@cache
def keep_memory() -> None:
    """Let malloc keep large blocks that are freed, where it is glibc's and nobody told it otherwise.

    Each layer's results are tens of megabytes. As it comes, malloc hands them back to the kernel and takes them anew,
    zeroed, page by page: a tenth to a fifth of the time of a forward pass (two cores, SmolLM2-135M).
    """
    if any(os.environ.get(name) for name in OWN_SETTINGS):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, MOST_KEPT)


def part() -> None:
    """Let go of the other processes of a launch."""
    torch = require("torch", "train")
    if launched().several and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide transformers' own bars and loading reports; jobs show their own progress."""
    logging = require("transformers", "train").utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            # peft asks for a name that transformers 5 renames; nothing that a user could change.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
