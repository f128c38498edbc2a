"""What is said between annotators and models: a conversation, what it waits for, and the replies to a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from labeling_ui.answers import Form
from rewardkit.store.labelling_tables import conversations
from rewardkit.types import Message, content_id

Awaited = Literal["message", "replies", "choice"]


class Pending(Form):
    """What a conversation waits for.

    Attributes:
        awaits: A message, two replies, or the choice between them.
        token: What the step that ends the waiting has to name.
        since: When the waiting began, in seconds since 1970.
        shown: Ids of the replies, in the order in which they are shown.
    """

    awaits: Awaited
    token: str
    since: float
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """One conversation of one annotator.

    Attributes:
        id: Its name; comparisons of its replies have it as their group.
        number: Which of the annotator's conversations it is, from 1.
        turns: Pairs of replies that were compared.
        messages: What was said and went on, the instructions to the model left out.
        pending: What it waits for.
    """

    id: str
    number: int
    turns: int
    messages: tuple[Message, ...]
    pending: Pending


@dataclass(frozen=True)
class Asked:
    """A message that waits for its replies.

    Attributes:
        conversation: Its conversation.
        token: Of this step.
        messages: All that the models get, with the instructions.
    """

    conversation: str
    token: str
    messages: tuple[Message, ...]

    @property
    def shown(self) -> tuple[int, int]:
        """Which reply stands first: drawn by a hash, and the same after a reload."""
        return (0, 1) if int(content_id("shown first", self.token)[:8], 16) % 2 else (1, 0)

    @property
    def seed(self) -> int:
        """Of the sampling."""
        return int(content_id("seed", self.token)[:8], 16)


@dataclass(frozen=True)
class Reply:
    """A whole reply.

    Attributes:
        text: As the model wrote it.
        model: Who that was.
        generation: The settings under which it was sampled.
    """

    text: str
    model: str
    generation: Mapping[str, Any]


def wait_later(connection: Connection, person_id: str, seconds: float) -> None:
    """Let what a person's conversation waits for begin later, as after a break."""
    mine = (conversations.c.person_id == person_id) & (conversations.c.state == "open")
    row = connection.execute(sa.select(conversations).where(mine).with_for_update()).first()
    if row is not None:
        pending = {**row.pending, "since": row.pending["since"] + seconds}
        connection.execute(sa.update(conversations).where(mine).values(pending=pending))
