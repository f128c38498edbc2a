"""What this machine computes with: device and dtype, chosen in one place."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rewardkit.extras import require

PROBE_SECONDS = 0.25


def best_dtype() -> str:
    """Return bfloat16 where there is an accelerator or the CPU computes in it, else float32."""
    torch = require("torch", "train")
    if torch.accelerator.is_available():
        return "bfloat16"
    # Emulated bfloat16 is far slower than float32, so a CPU must have the instructions.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def dtype_of(name: str) -> Any:
    """Return torch's dtype of a name; "auto" is the best one here."""
    return getattr(require("torch", "train"), best_dtype() if name == "auto" else name)


def device() -> Any:
    """Return the accelerator where there is one, else the CPU."""
    torch = require("torch", "train")
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def matmul_speed(dtype: str) -> float:
    """Measure the operations a second of a large matrix product, in about a quarter of a second.

    Args:
        dtype: The dtype that it is computed in, or "auto".
    """
    torch = require("torch", "train")
    side = 4096 if torch.accelerator.is_available() else 1024
    matrix = torch.ones((side, side), dtype=dtype_of(dtype), device=device())
    repeats, start = 0, time.perf_counter()
    while repeats < 3 or time.perf_counter() - start < PROBE_SECONDS:
        if repeats == 1:
            # The first product also pays for threads and kernels.
            start = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])
        repeats += 1
    return 2.0 * float(side) ** 3 * (repeats - 1) / (time.perf_counter() - start)


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
