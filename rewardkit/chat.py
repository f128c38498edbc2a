"""Chat messages to token ids, in one way for every room that talks to a model.

Two things go wrong when a chat template is rendered to a string that is then tokenised. Text inside a
message that spells a control token (`<|im_end|>`) becomes that token, so a candidate can end its own
turn; and templates insert the date of the day or a second BOS, so that the same conversation gives
other ids tomorrow. Here the template is rendered with marks in place of the messages and cut there: its
own pieces may hold control tokens, the contents may not; its clock is stopped; and a sequence starts
with one BOS at most.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rewardkit.errors import ModelError

RENDERER_VERSION = 1
# Templates that print today's date would say something else every day: this macro shadows their clock.
FROZEN_DAY = "{% macro strftime_now(form) %}01 Jan 2025{% endmacro %}"
# Private-use characters: no template contains them, and contents never pass through the template.
_MARK = "\ue000{}\ue001"


class ControlTokenError(ValueError):
    """A text would be encoded with a control token in spite of all."""


class ChatTemplate:
    """The pieces of a tokenizer's chat template, and how they and the contents are encoded.

    Args:
        tokenizer: A transformers tokenizer.
        where: The model's name, for errors.

    Raises:
        ModelError: The tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, where: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError("the tokenizer has no chat template", where=where, fix="use an instruction-tuned model")
        self.tokenizer, self.where = tokenizer, where

    @property
    def hash(self) -> str:
        """Hash of everything that decides how text becomes ids, the vocabulary apart."""
        parts = (str(RENDERER_VERSION), FROZEN_DAY, self.tokenizer.get_chat_template(), str(self.tokenizer.bos_token))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def pieces(self, roles: Sequence[str], *, generation_prompt: bool = False) -> list[str] | None:
        """Return the template's text before, between and after messages of these roles.

        Returns:
            One piece more than there are roles; None where the template refuses them or does not show
            each message once.
        """
        marks = [_MARK.format(i) for i in range(len(roles))]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        rest, found = self._render(messages, generation_prompt), []
        for mark in marks:
            if rest.count(mark) != 1:
                return None
            before, _, rest = rest.partition(mark)
            found.append(before)
        return [*found, rest]

    def control(self, text: str) -> list[int]:
        """Encode the template's own text, in which control tokens are what they say."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids) if text else []

    def plain(self, text: str) -> list[int]:
        """Encode a text in which nothing is a control token: what looks like one is broken in two.

        Raises:
            ControlTokenError: This tokenizer can read it in no other way.
        """
        inside = [m.start() + 1 for m in self._control_pattern.finditer(text)] if self._control_pattern else []
        cuts = [0, *inside, len(text)]
        ids: list[int] = []
        for start, end in zip(cuts, cuts[1:], strict=False):
            ids += self.tokenizer(text[start:end], add_special_tokens=False, split_special_tokens=True).input_ids
        if not self._control_ids.isdisjoint(ids):
            raise ControlTokenError("the text holds what this tokenizer can only read as a control token")
        return ids

    def one_bos(self, ids: list[int]) -> list[int]:
        """Start with exactly one BOS where the tokenizer has one that its template omits or doubles."""
        bos = self.tokenizer.bos_token_id
        if bos is None:
            return ids
        while ids[:2] == [bos, bos]:
            ids = ids[1:]
        return ids if ids[:1] == [bos] else [bos, *ids]

    def _render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        """Render the template with thinking off; nothing where it refuses.

        Templates refuse roles by raising whatever they like through jinja; that reads as "not shown".
        """
        import jinja2

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    chat_template=FROZEN_DAY + self.tokenizer.get_chat_template(),
                    enable_thinking=False,
                )
            )
        except jinja2.TemplateError:
            return ""

    @cached_property
    def _controls(self) -> dict[str, int]:
        """Added tokens that act on the model: special ones, and those in brackets (`<think>`)."""
        return {
            token.content: index
            for index, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or re.fullmatch(r"<.+>|\[.+\]", token.content)
        }

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        # A character that the vocabulary lacks may become the unknown token: a loss, but no command.
        return frozenset(self._controls.values()) - {self.tokenizer.unk_token_id}

    @cached_property
    def _control_pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self._controls, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
