"""What of an answer can be kept: text that a file can hold, and numbers of tokens that there can be."""

from __future__ import annotations

from typing import Any

from rewardkit.judge.contract import Completion

COUNTS = range(2**31)
"""Of tokens that an answer may have taken."""


def sane(found: Completion) -> Completion:
    """Return an answer that can be kept.

    Raises:
        ValueError: Its text is none (half a character of two halves), or no request takes so many tokens.
    """
    (found.reply + found.served).encode()
    if found.tokens not in COUNTS or found.reply_tokens not in COUNTS:
        raise ValueError("so many tokens no answer takes")
    return found


def name_of(model: Any) -> str:
    """Return the name of the model that answered; empty where a server tells none.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(model, str | None):
        raise TypeError("the model's name is no text")
    return model or ""
