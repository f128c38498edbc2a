"""The judge backends by name: what answers requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rewardkit.judge.contract import Backend
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.local import LocalBackend
from rewardkit.judge.openai_api import OpenAIBackend
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import lookup

GROUP = "judge_backends"
BACKENDS: Mapping[str, Callable[[JudgeConfig], Backend]] = {
    "fake": FakeBackend.open,
    "openai": OpenAIBackend.open,
    "transformers": LocalBackend.open,
}


def open_backend(config: JudgeConfig) -> Backend:
    """Return the backend that a config names, ready to answer.

    Raises:
        ConfigError: No backend has this name.
        ModelError: The model cannot be found or used.
        MissingExtraError: A package that the backend needs is not installed.
    """
    return lookup(GROUP, BACKENDS, config.backend)(config)
