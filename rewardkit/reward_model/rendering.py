"""Prompt and response to token ids: one renderer for training, evaluation and scoring."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardkit.chat import ChatTemplate, ControlTokenError
from rewardkit.types import Message

MOST_KNOWN = 1024
"""Shapes of conversations whose pieces are kept."""
TooLong = Literal["truncate_prompt", "truncate_response", "drop"]


@dataclass(frozen=True)
class Unrendered:
    """A conversation that cannot be encoded, and why: an item's failure, never the job's."""

    reason: str


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
        self.chat = ChatTemplate(tokenizer, str(getattr(tokenizer, "name_or_path", "")))
        self.max_length, self.too_long = max_length, too_long
        self._known: dict[tuple[str, ...], list[str] | None] = {}
        self._latest: tuple[tuple[Message, ...], list[int]] | None = None

    @property
    def hash(self) -> str:
        """Hash of all that decides the ids; a trained model remembers it and refuses another."""
        parts = f"{self.chat.hash}:{self.max_length}:{self.too_long}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def render(self, prompt: Sequence[Message], response: str) -> Rendered | Unrendered:
        """Encode one prompt with one response.

        A missing prompt is an empty user message, because many templates refuse a conversation that
        starts with the assistant.

        Returns:
            The ids; or the reason where the policy drops it, the template refuses the prompt's roles, or
            a text reads as a control token only.
        """
        asked = tuple(prompt) or (Message(role="user", content=""),)
        roles = tuple(m.role for m in asked)
        pieces = self._pieces(roles)
        if pieces is None:
            return Unrendered(f"the chat template does not show messages of the roles {', '.join(roles)} once each")
        try:
            start, said = self._start(asked, pieces), self._plain(response)
        except (ControlTokenError, UnicodeEncodeError) as error:
            return Unrendered(str(error))
        # What follows the end of the turn (a line break) would only move the reward's place.
        end = self.chat.control(pieces[-1].rstrip())
        excess = len(start) + len(said) + len(end) - self.max_length
        if excess <= 0:
            return Rendered(start + said + end)
        if self.too_long == "drop":
            return Unrendered(f"longer than max_length ({self.max_length} tokens)")
        return self._cut(start, said, end, excess)

    def _start(self, asked: tuple[Message, ...], pieces: Sequence[str]) -> list[int]:
        """Return the ids in front of a response; the latest prompt's are kept, as several responses follow one."""
        latest = self._latest
        if latest is None or latest[0] != asked:
            contents = [self._plain(m.content) for m in asked]
            start = [i for piece, ids in zip(pieces, contents, strict=False) for i in (*self.chat.control(piece), *ids)]
            self._latest = latest = asked, self.chat.one_bos(start + self.chat.control(pieces[-2]))
        return latest[1]

    def _plain(self, text: str) -> list[int]:
        # Half a character (a lone surrogate) is text to Python and not to a tokenizer.
        text.encode()
        return self.chat.plain(text)

    def _pieces(self, roles: tuple[str, ...]) -> list[str] | None:
        if roles not in self._known:
            # Strangers may ask about conversations of every shape.
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[roles] = self.chat.pieces((*roles, "assistant"))
        return self._known[roles]

    def _cut(self, start: list[int], said: list[int], end: list[int], excess: int) -> Rendered | Unrendered:
        """Shorten by `excess` tokens; the first token (BOS) and the template's end are always kept."""
        from_start = min(excess, len(start) - 1) if self.too_long == "truncate_prompt" else 0
        from_response = excess - from_start
        if from_response and from_response >= len(said):
            return Unrendered(f"nothing of the response is left within max_length ({self.max_length} tokens)")
        kept = said[: len(said) - from_response]
        return Rendered([start[0], *start[1 + from_start :], *kept, *end], truncated=True)
