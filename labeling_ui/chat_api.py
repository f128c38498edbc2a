"""What the page asks of the server about conversations: JSON under /api/chat, and one response that streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from labeling_ui.answers import Form
from labeling_ui.api import Api, read_answer
from labeling_ui.chatting import Chat, Stream
from labeling_ui.streaming import LINES, UNBUFFERED
from labeling_ui.views import View

Token = Annotated[str, Field(max_length=64)]


class Said(Form):
    """What the annotator says."""

    token: Token
    text: Annotated[str, Field(max_length=100_000)]


class Step(Form):
    """A step that says nothing more than which one it is."""

    token: Token


class Pick(Form):
    """Which of two replies is better."""

    token: Token
    answer: dict[str, Any]


@dataclass(frozen=True)
class ChatApi:
    """The handlers of one study's conversations.

    Attributes:
        api: Tells who asks.
        chat: The conversations.
    """

    api: Api
    chat: Chat

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/chat")
        for path, change in (("/say", self.say), ("/replies", self.replies), ("/pick", self.pick), ("/end", self.end)):
            router.add_api_route(path, change, methods=["POST"], response_model=None)
        return router

    def say(self, request: Request, form: Said) -> View:
        """Keep a message."""
        person = self.api.changing(request)
        self.chat.conversations.say(person, form.token, form.text)
        return self.api.turns.turn(person)

    async def replies(self, request: Request, form: Step) -> StreamingResponse:
        """Stream two replies to what was said, and store them when they are whole."""
        person = self.api.changing(request)
        asked = await run_in_threadpool(self.chat.conversations.asked, person, form.token)
        stream = Stream(self.chat, person, asked)
        return StreamingResponse(stream.lines(), media_type=LINES, headers=UNBUFFERED)

    def pick(self, request: Request, form: Pick) -> View:
        """Take in which reply is better, and go on from it."""
        person = self.api.changing(request)
        self.chat.conversations.pick(person, form.token, read_answer(form.answer))
        return self.api.turns.turn(person)

    def end(self, request: Request, form: Step) -> View:
        """End a conversation."""
        person = self.api.changing(request)
        self.chat.conversations.end(person, form.token)
        return self.api.turns.turn(person)
