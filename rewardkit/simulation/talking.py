"""How a persona talks with a model: it says what it always says, and picks between two replies by its taste alone.

Nobody knows what a reply that was written a second ago is worth; so a persona's reliability says nothing here, and its
choice is made of length bias, position bias and chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from rewardkit.simulation.answering import SHOWN, subject_of
from rewardkit.simulation.personas import Persona, strength_of


def message_of(persona: Persona, chat: Mapping[str, Any]) -> str | None:
    """Return what a persona says next; None where it has said all that it has to say, and may go.

    Args:
        persona: Who.
        chat: A conversation that waits for a message, as the page shows it.
    """
    messages, turn = persona.settings.messages, int(chat["turn"])
    if turn > len(messages) and chat["may_end"]:
        return None
    # Another conversation begins with another message, for as long as there are some.
    return messages[(turn - 1 + int(chat["number"]) - 1) % len(messages)]


def pick_of(persona: Persona, chat: Mapping[str, Any], answered: int) -> dict[str, Any]:
    """Return which of two replies a persona picks.

    Args:
        persona: Who.
        chat: A conversation that waits for a choice, as the page shows it.
        answered: How many pairs they have compared before.
    """
    first, second = replies_of(chat)
    logit = persona.logit(0.0, math.log2(max(1, len(first))) - math.log2(max(1, len(second))), "ab", answered)
    choice = SHOWN.get(persona.choose(subject_of([first, second]), "ab", logit), "tie")
    return {"task": "comparison", "choice": choice, "strength": None if choice == "tie" else strength_of(logit)}


def replies_of(chat: Mapping[str, Any]) -> list[str]:
    """Return the text of both replies, in the order in which they are shown."""
    return [_text_of(reply["html"]) for reply in chat["replies"]]


class _Words(HTMLParser):
    """Collects what is no markup."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _text_of(html: str) -> str:
    reader = _Words()
    reader.feed(html)
    reader.close()
    return "".join(reader.words).strip()
