"""Optional packages: which extra brings them, and one clear error when one is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from types import ModuleType

from rewardkit.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "judge": ("sklearn", "torch", "transformers", "gguf", "openai", "anthropic"),
    "train": ("torch", "transformers", "peft", "accelerate", "tensorboard", "gguf"),
    "ui": ("gradio", "fastapi", "uvicorn", "markdown_it", "httpx", "itsdangerous", "argon2"),
    "postgres": ("psycopg",),
    "qlora": ("bitsandbytes",),
    "rl": ("trl",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "vllm": ("vllm",),
    "ray": ("ray",),
}


def require(package: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Raises:
        MissingExtraError: It is not installed; the message carries the pip line.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise MissingExtraError(package, extra) from error


def require_all(extra: str) -> None:
    """Ask for every package of an extra, without importing any.

    Raises:
        MissingExtraError: One is not installed; the message carries the pip line.
    """
    for package in missing(extra):
        raise MissingExtraError(package, extra)


def missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def version(package: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
