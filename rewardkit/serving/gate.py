"""What every request passes: it is counted, shown a key, and no larger than it may be."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rewardkit.serving.refusals import Refusal
from rewardkit.serving.service import Service

OPEN = "/health"
"""Needs no key: whoever asks learns that a server is there, and no more."""
DISCARD_BYTES, DISCARD_SECONDS = 64 * 2**20, 5.0
"""Of a body that is refused, read at most."""
MOST_HELD = 32
"""Largest requests whose bodies are kept at a time: beyond that memory, not the model, would be what fails."""
LEFT = 499
"""The status under which a request is counted whose client did not wait for the answer."""


@dataclass(frozen=True)
class Rules:
    """What is let in.

    Attributes:
        key: That every request must show; empty where none is needed.
        most_bytes: Of a request's body.
        paths: That are counted by name.
    """

    key: str
    most_bytes: int
    paths: frozenset[str]


class Body:
    """A request's body on its way in.

    Args:
        receive: Where its parts come from.
        most: Bytes of it, at most.
        hold: Told of the bytes that are kept.
    """

    def __init__(self, receive: Receive, most: int, hold: Callable[[int], None]) -> None:
        self._receive, self._most, self._hold = receive, most, hold
        self.received = 0

    async def receive(self) -> Message:
        """Return the next part.

        Raises:
            Refusal: It is one too many.
        """
        message = await self._receive()
        size = len(message.get("body", b""))
        self.received += size
        self._hold(size)
        if self.received > self._most:
            if message.get("more_body"):
                await _discard(self._receive)
            raise _too_large(self._most)
        return message


class Gate:
    """Lets requests in to an application.

    Args:
        app: The application.
        service: Has the counts, and says whether anything is answered.
        rules: What is let in.
    """

    def __init__(self, app: ASGIApp, service: Service, rules: Rules) -> None:
        self._app, self._service, self._rules = app, service, rules
        # Requests that are not answered yet, and the bytes of them that are kept.
        self.inside = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), LEFT

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.inside += 1
        try:
            await self._let_in(scope, receive, sending)
        finally:
            self.inside -= 1
            path = scope["path"] if scope["path"] in self._rules.paths else "other"
            self._service.figures.answered(path, status, perf_counter() - started)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except Refusal as refusal:
            await _discard(receive)
            await refusal.response()(scope, receive, send)
            return
        body = Body(receive, self._rules.most_bytes, self._hold)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._hold(-body.received)

    def _hold(self, size: int) -> None:
        self._held += size

    def _check(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if (
            scope["path"] != OPEN
            and self._rules.key
            and not _shows(headers.get(b"authorization", b""), self._rules.key)
        ):
            raise Refusal(401, "the key is missing or wrong: send Authorization: Bearer KEY")
        if int(headers.get(b"content-length", b"0")) > self._rules.most_bytes:
            raise _too_large(self._rules.most_bytes)
        if scope["method"] != "POST":
            return
        if trouble := self._service.trouble:
            raise Refusal(503, trouble)
        if self._held > MOST_HELD * self._rules.most_bytes:
            raise Refusal(429, "too much is being received at this moment", retry_after=1)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the request has more than {most:,} bytes: send fewer texts at a time")


async def _discard(receive: Receive) -> None:
    """Read what is left of a body, within reason: who still sends would see the connection break, and no answer."""
    read, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while more and read < DISCARD_BYTES:
                message = await receive()
                more = bool(message.get("more_body"))
                read += len(message.get("body", b""))


def _shows(header: bytes, key: str) -> bool:
    """Tell whether a header shows the key: as a bearer's, or as the password of a URL (http://any:KEY@host/…)."""
    scheme, _, shown = header.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return hmac.compare_digest(shown.strip(), key.encode())
