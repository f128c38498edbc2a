"""rewardkit turns opinions into reward.

Human and judge labels in one store, aggregated on the human scale, a LoRA reward model trained on soft
labels and calibrated against held-out humans. The names below are loaded when they are first used, so
that `import rewardkit` loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewardkit.config import load_config
    from rewardkit.jobs.pipeline import run
    from rewardkit.scorer import RewardModel
    from rewardkit.store.store import Store
    from rewardkit.types import (
        Annotator,
        Comparison,
        Label,
        Message,
        PreferenceExample,
        Prompt,
        Rating,
        Response,
        SoftPreference,
    )

__version__ = "0.1.0"
__all__ = [
    "Annotator",
    "Comparison",
    "Label",
    "Message",
    "PreferenceExample",
    "Prompt",
    "Rating",
    "Response",
    "RewardModel",
    "SoftPreference",
    "Store",
    "load_config",
    "run",
]
# Where what is no record comes from: module and its name there.
_HOMES = {
    "RewardModel": ("scorer", "RewardModel"),
    "Store": ("store.store", "Store"),
    "load_config": ("config", "load_config"),
    "run": ("jobs.pipeline", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES.get(name, ("types", name))
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
