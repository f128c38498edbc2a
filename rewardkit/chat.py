"""Chat messages to token ids, in one way for every room that talks to a model.

Two things go wrong when a chat template is rendered to a string that is then tokenised. Text inside a
message that spells a control token (`<|im_end|>`) becomes that token, so a candidate can end its own
turn; and templates insert the date of the day or a second BOS, so that the same conversation gives
other ids tomorrow. Here the template's own pieces are tokenised with control tokens and the contents
without, the date is fixed, and the sequence starts with at most one BOS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.types import Message

RENDERER_VERSION = 1
FIXED_DATE = "01 Jan 2024"
# Private-use characters: no template contains them, and contents never pass through the template.
_MARK = "\ue000{}\ue001"


@dataclass(frozen=True)
class Piece:
    """A stretch of token ids: a message's content (its index), or template text (None)."""

    ids: list[int]
    message: int | None


class ChatEncoder:
    """Encodes conversations with a tokenizer's chat template.

    Args:
        tokenizer: A transformers tokenizer that has a chat template.

    Raises:
        ModelError: It has none.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                "the tokenizer has no chat template",
                where=str(getattr(tokenizer, "name_or_path", "")),
                fix="use an instruction-tuned model, or set tokenizer.chat_template and save the tokenizer",
            )
        self.tokenizer = tokenizer

    @property
    def hash(self) -> str:
        """Hash of everything that decides how text becomes ids, the vocabulary apart."""
        parts = f"{RENDERER_VERSION}\n{FIXED_DATE}\n{self.tokenizer.chat_template}\n{self.tokenizer.bos_token}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def pieces(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> list[Piece]:
        """Encode a conversation as stretches of template and content, in order.

        Raises:
            ModelError: The template refuses these roles, or leaves a message out.
        """
        marks = [_MARK.format(i) for i in range(len(messages))]
        marked = [{"role": m.role, "content": mark} for m, mark in zip(messages, marks, strict=True)]
        text = self._template(marked, generation_prompt)
        found: list[Piece] = []
        for index, mark in enumerate(marks):
            before, separator, text = text.partition(mark)
            if not separator:
                raise ModelError(
                    f"the chat template leaves out message {index + 1} (role {messages[index].role!r})",
                    where=str(self.tokenizer.name_or_path),
                )
            found += [Piece(self._control(before), None), Piece(self.plain(messages[index].content), index)]
        found.append(Piece(self._control(text.rstrip()) if not generation_prompt else self._control(text), None))
        return self._one_bos(found)

    def encode(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> list[int]:
        """Encode a conversation as one list of token ids."""
        return [i for piece in self.pieces(messages, generation_prompt=generation_prompt) for i in piece.ids]

    def plain(self, text: str) -> list[int]:
        """Encode text in which nothing is a control token, whatever it spells."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids

    def _control(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids

    def _template(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=generation_prompt,
                date_string=FIXED_DATE,
                strftime_now=lambda _format: FIXED_DATE,
            )
        except Exception as error:  # templates raise jinja errors of their own making
            roles = ", ".join(m["role"] for m in messages)
            raise ModelError(
                f"the chat template refuses these messages: {error}",
                where=str(self.tokenizer.name_or_path),
                expected=f"a template that takes the roles {roles}",
            ) from error
        return text

    def _one_bos(self, pieces: list[Piece]) -> list[Piece]:
        """Start with exactly one BOS where the tokenizer has one that its template omits or doubles."""
        bos = self.tokenizer.bos_token_id
        if bos is None:
            return pieces
        head = pieces[0].ids
        while head[:2] == [bos, bos]:
            head = head[1:]
        if head[:1] != [bos]:
            head = [bos, *head]
        return [Piece(head, None), *pieces[1:]]
