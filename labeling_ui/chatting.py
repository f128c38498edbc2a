"""Replies of models on their way to a page: streamed on the event loop, so that nobody else's request waits for them.

The models are handed in (see `Replies`); they run in another process or behind a URL. What is sent are lines of JSON:
pieces of a reply by the place at which it is shown, an empty object now and then where a model is slow, and at the
end either where the annotator stands then or one problem. Whoever closes the page ends the stream and, with it, the
models' work; the message stays, and is replied to anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from starlette.concurrency import run_in_threadpool

from labeling_ui.conversations import Conversations
from labeling_ui.people import Refused
from labeling_ui.streaming import Line, LineStream
from labeling_ui.talk import Asked, Reply
from rewardkit.errors import RewardkitError
from rewardkit.storable import storable
from rewardkit.types import Message

LONGEST_REPLY = 100_000
"""Characters; a model that says more has lost itself."""
AGAIN = "Your message is kept. Try again."


class Piece(NamedTuple):
    """A piece of text of one of two replies (0 or 1, in the order of the models)."""

    reply: int
    text: str


class ChatFailed(RewardkitError):
    """A model did not give a whole reply.

    Args:
        what: What annotators are told; it names no model.
        why: What researchers find in the audit trail.
    """

    def __init__(self, what: str, *, why: str = "") -> None:
        self.why = storable(why or what)
        super().__init__(what, fix=AGAIN)


class Replies(Protocol):
    """Two replies to a conversation at the same time."""

    @property
    def models(self) -> tuple[str, str]:
        """Names of the two models; the same one twice where it is sampled twice."""

    def generation(self, seed: int) -> dict[str, Any]:
        """Return the settings that are kept with replies."""

    def stream(self, messages: Sequence[Message], seed: int) -> AsyncGenerator[Piece, None]:
        """Yield both replies piece by piece, until both are whole.

        Args:
            messages: What was said so far.
            seed: Of the sampling, where the models take one.

        Raises:
            ChatFailed: One of them cannot be had whole.
        """


@dataclass(eq=False)
class Stream(LineStream):
    """One message's replies on their way.

    Attributes:
        chat: Whose models and conversations they are.
        person_id: Who waits for them.
        asked: What is replied to.
    """

    chat: Chat
    person_id: str
    asked: Asked

    def give_way(self) -> None:
        """End for another page of the same person."""
        self.tell(_problem("The conversation goes on in another window.", "Reload this page to go on here."))
        self.end()

    async def work(self) -> None:
        """Pass the replies on, store them when they are whole, and tell where the annotator stands then."""
        try:
            with self.chat.place(self):
                replies = await self._replies()
                await run_in_threadpool(self.chat.conversations.replied, self.person_id, self.asked, replies)
            self.tell({"turn": await run_in_threadpool(self.chat.turn, self.person_id)})
        except ChatFailed as failed:
            self.tell(_problem(failed.what, failed.fix))
            await run_in_threadpool(self.chat.conversations.failed, self.person_id, self.asked.conversation, failed.why)
        except Refused as refused:
            self.tell(_problem(refused.what, refused.fix))

    async def _replies(self) -> list[Reply]:
        """Pass the replies on while they come, and return them whole."""
        texts: tuple[list[str], list[str]] = ([], [])
        lengths = [0, 0]
        models, places = self.chat.replies.models, {at: str(place) for place, at in enumerate(self.asked.shown, 1)}
        try:
            async with (
                asyncio.timeout(self.chat.conversations.config.seconds),
                aclosing(self.chat.replies.stream(self.asked.messages, self.asked.seed)) as pieces,
            ):
                async for piece in pieces:
                    texts[piece.reply].append(piece.text)
                    self.tell({"place": places[piece.reply], "text": piece.text})
                    lengths[piece.reply] += len(piece.text)
                    if lengths[piece.reply] > LONGEST_REPLY:
                        raise ChatFailed("A reply became too long.", why=f"{models[piece.reply]}: endless reply")
        except TimeoutError as error:
            raise ChatFailed("The replies took too long.", why="no whole replies in time") from error
        generation = self.chat.replies.generation(self.asked.seed)
        return [
            Reply(_whole("".join(text), model), model, generation) for text, model in zip(texts, models, strict=True)
        ]


@dataclass(eq=False)
class Chat:
    """The conversations of a study, and the models that take part in them.

    Attributes:
        conversations: What was said.
        replies: The models.
        turn: Returns what a person sees next.
    """

    conversations: Conversations
    replies: Replies
    turn: Callable[[str], Mapping[str, Any]]
    _streams: dict[str, Stream] = field(default_factory=dict)

    def place(self, stream: Stream) -> _Place:
        """Return a place among those that stream at the same time: one for each person, a number for all."""
        return _Place(self._streams, stream, self.conversations.config.streams)


@dataclass(frozen=True)
class _Place:
    """Taken on the event loop and nowhere else, so that nothing has to be locked."""

    taken: dict[str, Stream]
    stream: Stream
    most: int

    def __enter__(self) -> None:
        earlier = self.taken.pop(self.stream.person_id, None)
        if earlier is not None:
            earlier.give_way()
        if len(self.taken) >= self.most:
            raise ChatFailed("Too many people are waiting for replies right now.", why="all streams are taken")
        self.taken[self.stream.person_id] = self.stream

    def __exit__(self, *_: object) -> None:
        if self.taken.get(self.stream.person_id) is self.stream:
            del self.taken[self.stream.person_id]


def _problem(what: str, fix: str) -> Line:
    return {"problem": what, "fix": fix}


def _whole(text: str, model: str) -> str:
    """Return a reply as it is stored.

    Raises:
        ChatFailed: There is nothing in it, or it is no text.
    """
    try:
        # A character outside the first plane may have come in halves.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16").strip()
    except UnicodeDecodeError as error:
        raise ChatFailed("A reply could not be read.", why=f"{model}: half a character") from error
    if not text or "\0" in text:
        raise ChatFailed("A reply was empty or unreadable.", why=f"{model}: empty reply, or a zero byte in it")
    return text
