"""Requests to token ids: the model's chat template around texts that stay texts.

The template is rendered once with marks in place of the messages and cut there. Its own pieces may hold
control tokens; the messages' texts may not, whatever is written in them. That a label is one token is
checked where it will stand: right after the template's last piece and the prefill.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.judge.contract import Request

SYSTEM, USER = "\ue000system\ue001", "\ue000user\ue001"
# Templates that print today's date would ask something else every day: this macro shadows their clock.
FROZEN_DAY = "{% macro strftime_now(form) %}01 Jan 2025{% endmacro %}"


class ControlTokenError(ValueError):
    """A text would be encoded with a control token in spite of all."""


@dataclass(frozen=True)
class _Ending:
    """Ids of the template's last piece and the prefill, and of the labels that may follow them."""

    context: list[int]
    labels: list[int]


class ChatEncoder:
    """Encodes requests for one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        where: The model's name, for errors.

    Raises:
        ModelError: The tokenizer has no chat template, or one that drops the user's message.
    """

    def __init__(self, tokenizer: Any, where: str) -> None:
        self._tokenizer, self._where = tokenizer, where
        self._before, self._between, self._after = _template_pieces(tokenizer, where)
        controls = _control_tokens(tokenizer)
        # A character that the vocabulary lacks may become the unknown token: a loss, but no command.
        self._control_ids = frozenset(controls.values()) - {tokenizer.unk_token_id}
        longest_first = sorted(controls, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first))) if controls else None
        self._endings: dict[tuple[str, tuple[str, ...]], _Ending] = {}

    def encode(self, request: Request) -> list[int]:
        """Return the ids of a request up to where the label comes.

        Raises:
            ControlTokenError: A text cannot be encoded without a control token.
            ModelError: A label is not one token there.
        """
        if self._between is None:
            start = [*self._trusted(self._before), *self._text(f"{request.system}\n\n{request.user}")]
        else:
            system = [*self._trusted(self._before), *self._text(request.system)]
            start = [*system, *self._trusted(self._between), *self._text(request.user)]
        return [*start, *self._ending(request).context]

    def label_ids(self, request: Request) -> list[int]:
        """Return the id of each label as it would follow the request.

        Raises:
            ModelError: A label is not one token there, or two labels are the same token.
        """
        return self._ending(request).labels

    def _ending(self, request: Request) -> _Ending:
        key = (request.prefill, request.labels)
        if key not in self._endings:
            self._endings[key] = self._find_ending(*key)
        return self._endings[key]

    def _find_ending(self, prefill: str, labels: tuple[str, ...]) -> _Ending:
        """Find where the labels part: after the prefill (" A"), or after the space too (" ", "1")."""
        stem = self._after + prefill
        joint = " " if prefill else ""
        whole = [self._trusted(stem + joint + label) for label in labels]
        contexts = [self._trusted(stem), self._trusted(stem + joint)]
        wrong = [[label for label, ids in zip(labels, whole, strict=True) if ids[:-1] != c] for c in contexts]
        if all(wrong):
            raise ModelError(
                f"the label {min(wrong, key=len)[0]!r} is not one token after {prefill!r}",
                where=self._where,
                expected="a tokenizer in which every label is a single token",
                fix="choose another model or protocol",
            )
        found = [ids[-1] for ids in whole]
        if len(set(found)) < len(found):
            raise ModelError(f"the labels {labels} are not distinct tokens", where=self._where)
        return _Ending(contexts[wrong.index([])], found)

    def _trusted(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids) if text else []

    def _text(self, text: str) -> list[int]:
        """Encode a text in which nothing is a control token: what looks like one is broken in two."""
        cuts = (
            [0, *(m.start() + 1 for m in self._control.finditer(text)), len(text)] if self._control else [0, len(text)]
        )
        ids: list[int] = []
        for start, end in zip(cuts, cuts[1:], strict=False):
            piece = self._tokenizer(text[start:end], add_special_tokens=False, split_special_tokens=True)
            ids += piece.input_ids
        if not self._control_ids.isdisjoint(ids):
            raise ControlTokenError("the text holds what this tokenizer can only read as a control token")
        return ids


def _template_pieces(tokenizer: Any, where: str) -> tuple[str, str | None, str]:
    """Return the template before the system message, between it and the user's, and after that.

    Where the template has no place for a system message, the middle is None.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError("the tokenizer has no chat template", where=where, fix="judge with an instruction-tuned model")
    for messages in (
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
        [{"role": "user", "content": USER}],
    ):
        text = _render(tokenizer, messages)
        if all(text.count(message["content"]) == 1 for message in messages):
            head, after = text.split(USER)
            before, mark, between = head.partition(SYSTEM)
            return before, between if mark else None, after
    raise ModelError("the chat template does not show the user's message once", where=where)


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """Render the template, with the clock stopped and thinking off.

    Templates refuse roles by raising whatever they like through jinja; that reads as "not shown".
    """
    import jinja2

    try:
        return str(
            tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=True,
                chat_template=FROZEN_DAY + tokenizer.get_chat_template(),
                enable_thinking=False,
            )
        )
    except jinja2.TemplateError:
        return ""


def _control_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the added tokens that act on the model: special ones, and those in brackets (`<think>`)."""
    return {
        token.content: index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special or re.fullmatch(r"<.+>|\[.+\]", token.content)
    }
