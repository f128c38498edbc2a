"""Prompt and response to token ids: one renderer for training, evaluation and scoring."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardkit.chat import ChatEncoder
from rewardkit.types import Message

TooLong = Literal["truncate_prompt", "truncate_response", "drop"]


@dataclass(frozen=True)
class Rendered:
    """One conversation as ids.

    Attributes:
        ids: Token ids, ending with the token at which the reward is read.
        truncated: Whether the policy for over-long input cut something.
    """

    ids: list[int]
    truncated: bool = False


class Renderer:
    """Renders a prompt and a response with the model's chat template.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        max_length: Longest sequence, in tokens.
        too_long: What happens to a longer one. "truncate_prompt" keeps the response whole and the end of
            the prompt, and falls back on cutting the response's end where the response alone is too
            long; "truncate_response" keeps the prompt; "drop" leaves the item out.
    """

    def __init__(self, tokenizer: Any, max_length: int, too_long: TooLong) -> None:
        self.chat = ChatEncoder(tokenizer)
        self.max_length, self.too_long = max_length, too_long

    @property
    def hash(self) -> str:
        """Hash of all that decides the ids; a trained model remembers it and refuses another."""
        parts = f"{self.chat.hash}:{self.max_length}:{self.too_long}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def render(self, prompt: Sequence[Message], response: str) -> Rendered | None:
        """Encode one prompt with one response; None where the policy drops it.

        A missing prompt is an empty user message, because many templates refuse a conversation that
        starts with the assistant.
        """
        asked = tuple(prompt) or (Message(role="user", content=""),)
        pieces = self.chat.pieces((*asked, Message(role="assistant", content=response)))
        start = [i for piece in pieces[:-2] for i in piece.ids]
        said, end = pieces[-2].ids, pieces[-1].ids
        excess = len(start) + len(said) + len(end) - self.max_length
        if excess <= 0:
            return Rendered(start + said + end)
        if self.too_long == "drop":
            return None
        return self._cut(start, said, end, excess)

    def _cut(self, start: list[int], said: list[int], end: list[int], excess: int) -> Rendered | None:
        """Shorten by `excess` tokens; the first token (BOS) and the template's end are always kept."""
        from_start = min(excess, len(start) - 1) if self.too_long == "truncate_prompt" else 0
        from_response = excess - from_start
        if from_response >= len(said):
            return None
        kept = said[: len(said) - from_response]
        return Rendered([start[0], *start[1 + from_start :], *kept, *end], truncated=True)
