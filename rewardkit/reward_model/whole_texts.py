"""Whole texts back to conversations: what trainers send is often a conversation that they rendered themselves.

A text that was rendered with the model's own chat template is taken apart at the template's own pieces, and goes the
way of every conversation from there: it gets the reward that its messages get, whatever is cut, and what looks like a
control token inside a message is text. A text that does not begin as the template does is plain text, unless it holds
control tokens: then it was rendered in another way, and what it says cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import get_args

from rewardkit.chat import ChatTemplate
from rewardkit.reward_model.rendering import Unrendered
from rewardkit.types import Message, Role

Conversation = tuple[Sequence[Message], str]
Roles = tuple[Role, ...]
ROLES: Roles = get_args(Role)
MOST_MESSAGES = 512
"""Of a conversation: templates are rendered in time that grows faster than their length."""
HEADS: tuple[Roles, ...] = ((), ("user",), ("user", "assistant"), ("system",), ("system", "user"))
TAILS: tuple[Roles, ...] = ((), ("assistant",), ("user",), ("user", "assistant"))
"""What may stand before and behind two turns: templates open a turn otherwise where it is the first or the last."""
DAY = re.escape("01 Jan 2025")
"""As `chat` stops a template's clock; whoever rendered the text had another day, in the template's own form."""
ANY_DAY = r"[\w ,.:/-]{1,40}"


@dataclass(frozen=True)
class Whole:
    """A whole text.

    Attributes:
        text: A rendered conversation that ends with the assistant's turn, or plain text.
        prompt: What a plain text begins with, where that is known to be the prompt.
    """

    text: str
    prompt: str = ""


@dataclass(frozen=True)
class Openings:
    """What a template writes between one turn and the next.

    Attributes:
        pattern: Has one group for each way in which a turn is opened, the longest first.
        roles: Whose turn each group opens.
    """

    pattern: re.Pattern[str]
    roles: Roles


class WholeTexts:
    """Reads whole texts by a chat template.

    Args:
        chat: The model's template.
    """

    def __init__(self, chat: ChatTemplate) -> None:
        self._chat = chat
        self._bos = str(chat.tokenizer.bos_token or "")
        self._control: tuple[str, ...] = tuple(chat.tokenizer.all_special_tokens)
        self._after = lru_cache(self._openings)
        # What the template writes behind the last turn, line breaks apart.
        self._end = (chat.pieces(("user", "assistant")) or [""])[-1].rstrip()

    def read(self, whole: Whole) -> Conversation | Unrendered:
        """Return the conversation that a text holds.

        What follows the last end of a turn is left out: line breaks, padding. A reply that was cut off before its end
        is read as one that ends there. A plain text is a response; to nothing, where no prompt is known.

        Returns:
            Prompt and response; or the reason why there is none.
        """
        turns = list(self._turns(whole.text))
        if not turns:
            return self._plain(whole)
        if len(turns) > MOST_MESSAGES:
            return Unrendered(f"the conversation has more than {MOST_MESSAGES} messages")
        *prompt, (speaker, said) = turns
        if speaker != "assistant":
            return Unrendered(f"the conversation ends with the turn of the {speaker}, not of the assistant")
        return tuple(Message(role=role, content=content) for role, content in prompt), self._until_end(said)

    def _turns(self, text: str) -> Iterator[tuple[Role, str]]:
        """Yield who speaks and what they say; nothing where the text does not begin as the template does."""
        first = self._after(None)
        found, role, count = first.pattern.match(text), None, 0
        opened = first
        while found and count <= MOST_MESSAGES:
            role, start, count = opened.roles[(found.lastindex or 1) - 1], found.end(), count + 1
            opened = self._after(role)
            found = opened.pattern.search(text, start)
            yield role, text[start : found.start() if found else len(text)]

    def _openings(self, before: Role | None) -> Openings:
        """Learn how the template opens a turn after one of another role; None is the start of a conversation."""
        ways: dict[str, Role] = {}
        for role in ROLES:
            for piece in self._ways(before, role):
                if piece:
                    ways.setdefault(piece, role)
        # At one place the longer is meant: the one with the template's own system message.
        ordered = sorted(ways, key=len, reverse=True)
        # A template that opens no turn like this is never found there.
        pattern = "|".join(f"({self._pattern(piece, before)})" for piece in ordered) or "(?!)"
        return Openings(re.compile(pattern), tuple(ways[piece] for piece in ordered))

    def _ways(self, before: Role | None, role: Role) -> Iterator[str]:
        """Yield what the template writes before a turn, in all the places where it may stand."""
        asked = () if before is None else (before,)
        for head, tail in product(HEADS if asked else ((),), TAILS):
            pieces = self._chat.pieces((*head, *asked, role, *tail))
            yield pieces[len(head) + len(asked)] if pieces else ""
        if role == "assistant":
            for head in HEADS if asked else ():
                pieces = self._chat.pieces((*head, *asked), generation_prompt=True)
                yield pieces[-1] if pieces else ""
        if not asked:
            yield from self._without_own_words(role)

    def _without_own_words(self, role: Role) -> Iterator[str]:
        """Yield how a first turn is opened by whoever leaves out what the template says first, of itself."""
        for other in ROLES:
            for piece in self._ways(other, role):
                opening = piece.removeprefix(self._end).lstrip()
                if opening != piece and self.holds_control(opening):
                    yield opening

    def _pattern(self, piece: str, before: Role | None) -> str:
        pattern = re.escape(piece).replace(DAY, ANY_DAY)
        rest = piece.removeprefix(self._bos) if before is None else piece
        # Without a control token behind it, BOS is what tells a conversation from plain text.
        if rest == piece or not self.holds_control(rest):
            return pattern
        bos = re.escape(self._bos)
        return f"(?:{bos})*{pattern.removeprefix(bos)}"

    def _until_end(self, said: str) -> str:
        if not self._end or self._end not in said:
            return said
        said = said[: said.rindex(self._end)]
        # Where the end of a turn also pads, many follow each other.
        while said.endswith(self._end):
            said = said.removesuffix(self._end)
        return said

    def _plain(self, whole: Whole) -> Conversation | Unrendered:
        text, prompt = self._bare(whole.text), whole.prompt.removeprefix(self._bos)
        if self.holds_control(text):
            return Unrendered("it holds control tokens, and is not rendered with the model's own chat template")
        if prompt and text.startswith(prompt):
            return (Message(role="user", content=prompt),), text[len(prompt) :]
        return (), text

    def _bare(self, text: str) -> str:
        """Leave out what tokenizers put before a text and models behind it."""
        text = text.removeprefix(self._bos)
        while text.endswith(self._control):
            text = text.removesuffix(next(token for token in self._control if text.endswith(token)))
        return text

    def holds_control(self, text: str) -> bool:
        """Tell whether a control token stands in a text."""
        return any(token in text for token in self._control)
