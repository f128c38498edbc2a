"""Policies: models that write responses, each response drawn with a seed that follows from what it answers.

The seed is a hash of the job's seed, the prompt, the model with its revision, how it is drawn, and the number of the
sample. So a run that was stopped knows by the responses in the store what is left to write, and whoever writes it again
gets the same texts, but for what rounding in a batch does to logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rewardkit.errors import ConfigError
from rewardkit.generate_config import PolicyConfig
from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Backend, Request
from rewardkit.types import Message, Prompt, content_id

SEEDS = 2**31
"""Servers take no larger one."""


@dataclass(frozen=True)
class Policy:
    """A model that writes, and how.

    Attributes:
        config: How responses are drawn.
        backend: Who writes them.
        seed: The job's.
    """

    config: PolicyConfig
    backend: Backend
    seed: int

    @cached_property
    def identity(self) -> str:
        """Hash of all that can change a response, the prompt and its number apart."""
        how = self.config.model_dump_json(include={"system", "temperature", "top_p", "max_new_tokens"})
        return content_id("policy", str(self.seed), self.backend.model, self.backend.revision, how)

    def seed_of(self, *about: str) -> int:
        """Return the seed of one text.

        Args:
            about: What it answers, and which of several it is.
        """
        return int(content_id("sample", self.identity, *about), 16) % SEEDS

    def ask(self, request: Request, seed: int, *, tokens: int | None = None) -> Request:
        """Return a request as this policy is asked it.

        Args:
            request: What is said.
            seed: Of the draw.
            tokens: Longest reply; that of a response if absent.
        """
        config = self.config
        how: dict[str, Any] = {"temperature": config.temperature, "top_p": config.top_p if config.top_p < 1 else None}
        longest = tokens or config.max_new_tokens
        return Request(request.system, request.user, "", (), longest, request.turns, cut=True, seed=seed, **how)

    def settings(self, seed: int) -> Mapping[str, Any]:
        """Return how a text was drawn, as it is kept with it."""
        config = self.config
        how = {"temperature": config.temperature, "top_p": config.top_p, "max_new_tokens": config.max_new_tokens}
        system = {"system": config.system} if config.system else {}
        return {"revision": self.backend.revision, **how, **system, "seed": seed}


def open_policy(config: PolicyConfig, seed: int, cache: AnswerCache | None = None) -> Policy:
    """Build a policy; its weights are loaded when it is first asked.

    Args:
        config: The config.
        seed: The job's.
        cache: Where answers are kept that are worth it; nowhere if absent.

    Raises:
        ConfigError: No backend has this name, or it gives no replies in words.
        ModelError: The model cannot be found or used.
        MissingExtraError: A package that the backend needs is not installed.
    """
    backend = _opened(config, cache)
    if "replies" not in backend.capabilities:
        raise ConfigError(
            f"the backend {backend.name!r} gives no replies in words",
            where=f"generate.policies: {config.name}",
            fix="choose another backend",
        )
    return Policy(config, backend, seed)


def _opened(config: PolicyConfig, cache: AnswerCache | None) -> Backend:
    """Open a policy's backend; what is wrong with its settings stands in the policy, and in no judge."""
    try:
        return open_backend(config.asked, cache)
    except ConfigError as error:
        key = error.where.removeprefix("judge.")
        where = f"generate.policies: {config.name}{f': {key}' if key else ''}"
        raise ConfigError(error.what, where=where, expected=error.expected, fix=error.fix) from error


def opening(prompt: Prompt, system: str) -> Request | str:
    """Return a prompt as it is said to a model, or why it cannot be said.

    Args:
        prompt: System messages first, if any, then user and assistant in turns; the last word is the user's.
        system: System message of the policy; it stands before the prompt's own.
    """
    before, said = _parted(prompt.messages)
    roles = [message.role for message in said]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return "the prompt is no conversation of user and assistant in turns that ends with the user"
    texts = [message.content for message in said]
    turns = tuple(zip(texts[1::2], texts[2::2], strict=True))
    whole = "\n\n".join(text for text in (system, *before) if text)
    return Request(whole, texts[0], "", (), turns=turns)


def _parted(messages: tuple[Message, ...]) -> tuple[list[str], tuple[Message, ...]]:
    """Return the contents of the system messages that come first, and the messages after them."""
    first = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    return [message.content for message in messages[:first]], messages[first:]
