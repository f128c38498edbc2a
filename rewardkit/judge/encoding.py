"""Requests to token ids: the model's chat template around texts that stay texts.

That a label is one token is checked where it will stand: right after the template's last piece and the
prefill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rewardkit.chat import ChatTemplate
from rewardkit.errors import ModelError
from rewardkit.judge.contract import Request


@dataclass(frozen=True)
class _Ending:
    """Ids of the template's last piece and the prefill, and of the labels that may follow them."""

    context: list[int]
    labels: list[int]


class RequestEncoder:
    """Encodes requests for one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        where: The model's name, for errors.

    Raises:
        ModelError: The tokenizer has no chat template, or one that drops the user's message.
    """

    def __init__(self, tokenizer: Any, where: str) -> None:
        self._template, self._where = ChatTemplate(tokenizer, where), where
        self._before, self._between, self._after = _template_pieces(self._template)
        self._endings: dict[tuple[str, tuple[str, ...]], _Ending] = {}

    def encode(self, request: Request) -> list[int]:
        """Return the ids of a request up to where the label comes.

        Raises:
            ControlTokenError: A text cannot be encoded without a control token.
            ModelError: A label is not one token there.
        """
        if self._between is None:
            start = [
                *self._template.control(self._before),
                *self._template.plain(f"{request.system}\n\n{request.user}"),
            ]
        else:
            system = [*self._template.control(self._before), *self._template.plain(request.system)]
            start = [*system, *self._template.control(self._between), *self._template.plain(request.user)]
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
        whole = [self._template.control(stem + joint + label) for label in labels]
        contexts = [self._template.control(stem), self._template.control(stem + joint)]
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
            raise ModelError(
                f"the labels {labels} are not distinct tokens", where=self._where, fix="use another model or protocol"
            )
        return _Ending(contexts[wrong.index([])], found)


def _template_pieces(template: ChatTemplate) -> tuple[str, str | None, str]:
    """Return the template before the system message, between it and the user's, and after that.

    Where the template has no place for a system message, the middle is None.
    """
    both = template.pieces(("system", "user"), generation_prompt=True)
    if both is not None:
        return both[0], both[1], both[2]
    alone = template.pieces(("user",), generation_prompt=True)
    if alone is None:
        raise ModelError(
            "the chat template does not show the user's message once",
            where=template.where,
            fix="use a model whose template takes a user's message",
        )
    return alone[0], None, alone[1]
