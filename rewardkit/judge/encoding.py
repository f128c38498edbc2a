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
        self._pieces: dict[tuple[int, bool], list[str]] = {}
        self._endings: dict[tuple[str, str, tuple[str, ...]], _Ending] = {}
        self._shape(0, system=True)

    def encode(self, request: Request) -> list[int]:
        """Return the ids of a request up to where the answer comes.

        Raises:
            ControlTokenError: A text cannot be encoded without a control token.
            ModelError: A label is not one token there, or the template has no place for a turn.
        """
        pieces, contents = self._shape_of(request), _contents(request)
        if len(contents) == len(pieces):
            # There is no place for a system message.
            contents[:2] = [f"{contents[0]}\n\n{contents[1]}"]
        ids: list[int] = []
        for piece, content in zip(pieces, contents, strict=False):
            ids += [*self._template.control(piece), *self._template.plain(content)]
        return [*ids, *self._ending(request).context]

    def label_ids(self, request: Request) -> list[int]:
        """Return the id of each label as it would follow the request.

        Raises:
            ModelError: A label is not one token there, or two labels are the same token.
        """
        return self._ending(request).labels

    def _ending(self, request: Request) -> _Ending:
        key = (self._shape_of(request)[-1], request.prefill, request.labels)
        if key not in self._endings:
            self._endings[key] = self._find_ending(*key)
        return self._endings[key]

    def _shape_of(self, request: Request) -> list[str]:
        return self._shape(len(request.turns), system=bool(request.system))

    def _shape(self, turns: int, *, system: bool) -> list[str]:
        """Return the template's pieces around the messages of a conversation."""
        if (turns, system) not in self._pieces:
            self._pieces[turns, system] = _template_pieces(self._template, turns, system=system)
        return self._pieces[turns, system]

    def _find_ending(self, after: str, prefill: str, labels: tuple[str, ...]) -> _Ending:
        """Find where the labels part: after the prefill (" A"), or after the space too (" ", "1")."""
        stem = after + prefill
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


def _contents(request: Request) -> list[str]:
    # A template's own words stand where there is no system message.
    system = [request.system] if request.system else []
    return [*system, request.user, *(text for turn in request.turns for text in turn)]


def _template_pieces(template: ChatTemplate, turns: int, *, system: bool) -> list[str]:
    """Return the template's text before, between and after the messages: one piece more than there are messages.

    Where the template has no place for a system message, there is one piece less.
    """
    said = ("user", *("assistant", "user") * turns)
    for roles in (("system", *said), said) if system else (said,):
        if pieces := template.pieces(roles, generation_prompt=True):
            return pieces
    raise ModelError(
        f"the chat template does not show {'a conversation' if turns else 'the user’s message'} once",
        where=template.where,
        fix="use a model whose template takes a user's message" + (" after a reply" if turns else ""),
    )
