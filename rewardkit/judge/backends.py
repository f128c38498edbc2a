"""The judge backends by name: what answers requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rewardkit.errors import ConfigError
from rewardkit.judge.anthropic_api import AnthropicBackend
from rewardkit.judge.cache import AnswerCache, Caching
from rewardkit.judge.contract import Backend
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.local import LocalBackend
from rewardkit.judge.openai_api import OpenAIBackend
from rewardkit.judge.replay import ReplayBackend
from rewardkit.judge.vllm_local import VllmBackend
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import lookup

GROUP = "judge_backends"
BACKENDS: Mapping[str, Callable[[JudgeConfig], Backend]] = {
    "anthropic": AnthropicBackend.open,
    "fake": FakeBackend.open,
    "openai": OpenAIBackend.open,
    "replay": ReplayBackend.open,
    "transformers": LocalBackend.open,
    "vllm": VllmBackend.open,
}


def open_backend(config: JudgeConfig, cache: AnswerCache | None = None) -> Backend:
    """Return the backend that a config names, ready to answer.

    Args:
        config: The config.
        cache: Where answers are kept that are worth it; nowhere if absent.

    Raises:
        ConfigError: No backend has this name, or its answers are to be kept and cannot be.
        ModelError: The model cannot be found or used.
        MissingExtraError: A package that the backend needs is not installed.
    """
    backend = lookup(GROUP, BACKENDS, config.backend)(config)
    if isinstance(backend, Caching):
        backend.cache = None if config.cache is False else cache
    elif config.cache:
        raise ConfigError(
            f"the backend {config.backend!r} keeps no answers: asking it again costs nothing",
            where="judge.cache",
            fix="leave judge.cache out",
        )
    return backend
