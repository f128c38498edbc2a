"""What of an answer can be kept: its text as files hold it, and numbers of tokens that there can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rewardkit.judge.contract import Completion
from rewardkit.storable import storable

COUNTS = range(2**31)
"""Of tokens that an answer may have taken."""


def sane(found: Completion) -> Completion:
    """Return an answer that can be kept.

    Raises:
        ValueError: No request takes so many tokens.
    """
    if found.tokens not in COUNTS or found.reply_tokens not in COUNTS:
        raise ValueError("so many tokens no answer takes")
    reply, served = storable(found.reply), storable(found.served)
    return found if (reply, served) == (found.reply, found.served) else replace(found, reply=reply, served=served)


def name_of(model: Any) -> str:
    """Return the name of the model that answered; empty where a server tells none.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(model, str | None):
        raise TypeError("the model's name is no text")
    return model or ""
