"""What this machine computes with: device and dtype, chosen in one place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rewardkit.extras import require
from rewardkit.launching import launched


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
    """Return the accelerator where there is one, else the CPU; each process of a launch has one of its own."""
    torch = require("torch", "train")
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    if launched().count > 1:
        torch.accelerator.set_device_index(launched().local)
    return torch.device(torch.accelerator.current_accelerator().type, torch.accelerator.current_device_index())


def part() -> None:
    """Let go of the other processes of a launch."""
    torch = require("torch", "train")
    if launched().count > 1 and torch.distributed.is_initialized():
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
