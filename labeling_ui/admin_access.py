"""Who may use the researchers' page: looked up at every handler, whatever the browser or the gate says.

A handler gets the researcher's row and values, returns what its outputs show and a sentence, and may refuse; nothing
of who asks is kept between two requests.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Row
from starlette.concurrency import run_in_threadpool

from labeling_ui.people import People, Refused
from labeling_ui.rendering import safe_line
from labeling_ui.sessions import COOKIE, Sessions
from labeling_ui.trail import note
from rewardkit.errors import RewardkitError
from rewardkit.extras import require

Handler = Callable[..., tuple[Sequence[Any], str]]
"""Takes who asks and the inputs' values; returns the outputs' values, and what is to be said."""
Stream = Callable[..., AsyncGenerator[tuple[Sequence[Any], str], None]]
"""As a handler, for what changes while one looks; it runs on the event loop."""


@dataclass(frozen=True)
class Asking:
    """A researcher who asks for something.

    Attributes:
        person: Their row.
        address: Under which their browser knows this server.
    """

    person: Row[Any]
    address: str


@dataclass(frozen=True)
class Researchers:
    """Tells researchers from others.

    Attributes:
        people: Of the study.
        sessions: Reads cookies.
        clock: Seconds since 1970.
    """

    people: People
    sessions: Sessions
    clock: Callable[[], float] = field(default=time.time)

    def require(self, cookies: Mapping[str, str], what: str) -> Row[Any]:
        """Return the researcher who asks; one who is paused is none meanwhile.

        Args:
            cookies: Of the request.
            what: What is asked for, for the audit trail.

        Raises:
            Refused: Somebody else asks; it is noted.
        """
        person_id = self.sessions.person_of(cookies.get(COOKIE))
        person = self.people.get(person_id) if person_id else None
        if person is not None and person.role == "admin" and person.state == "active":
            return person
        why = "paused" if person is not None and person.role == "admin" else "not a researcher"
        details = {"person_id": person.id if person is not None else None, "what": what, "why": why}
        with self.people.store.writing() as connection:
            note(connection, "refused", study=self.people.study, at=self.clock(), **details)
        raise Refused("this is for the researchers of the study", fix="open your link as a researcher again")


@dataclass(frozen=True)
class Wiring:
    """Ties handlers to a page's events, each behind the same check.

    Attributes:
        researchers: Who may use it.
    """

    researchers: Researchers

    def on(  # noqa: PLR0913 - keyword-only past the second
        self,
        event: Callable[..., Any],
        handler: Handler,
        *,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        message: Any,
        quiet: bool = False,
        latest: bool = False,
    ) -> Any:
        """Call a handler when something happens.

        Args:
            event: Such as a button's `click`.
            handler: What is to be done.
            inputs: Components whose values it gets.
            outputs: Components that show what it returns.
            message: Component that shows what it says.
            quiet: Show no sign of waiting, as for what is refreshed by itself.
            latest: Of events that come while one is handled, handle the last, as of what is being typed.
        """
        gradio = require("gradio", "ui")
        return event(
            self._behind_the_check(gradio, handler, len(outputs)),
            list(inputs),
            [*outputs, message],
            api_visibility="private",
            concurrency_limit=None,
            show_progress="hidden" if quiet else "minimal",
            trigger_mode="always_last" if latest else None,
        )

    def stream(
        self,
        event: Callable[..., Any],
        handler: Stream,
        *,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        message: Any,
    ) -> Any:
        """Show what a handler yields, one after the other, when something happens.

        Args:
            event: Such as a button's `click`.
            handler: What is to be done; it ends when nobody looks any more.
            inputs: Components whose values it gets.
            outputs: Components that show what it yields.
            message: Component that shows what it says.
        """
        gradio = require("gradio", "ui")
        return event(
            self._streaming(gradio, handler, len(outputs)),
            list(inputs),
            [*outputs, message],
            api_visibility="private",
            concurrency_limit=None,
            show_progress="hidden",
            # What is begun while it goes on, the handler refuses in words; here it would be passed over in silence.
            trigger_mode="multiple",
        )

    def _streaming(self, gradio: Any, handler: Stream, outputs: int) -> Callable[..., AsyncGenerator[list[Any], None]]:
        async def handle(request: Any, *values: Any) -> AsyncGenerator[list[Any], None]:
            try:
                came = request.request
                person = await run_in_threadpool(self.researchers.require, came.cookies, handler.__name__)
                asking = Asking(person, f"{came.url.scheme}://{came.url.netloc}")
                async with aclosing(handler(asking, *values)) as coming:
                    async for shown, said in coming:
                        yield [*shown, done(said)]
            except RewardkitError as error:
                yield [*(gradio.skip() for _ in range(outputs)), problem(error)]

        handle.__annotations__ = {"request": gradio.Request}
        return handle

    def _behind_the_check(self, gradio: Any, handler: Handler, outputs: int) -> Callable[..., list[Any]]:
        def handle(request: Any, *values: Any) -> list[Any]:
            try:
                # Gradio hands on the request of the event as it came.
                came = request.request
                person = self.researchers.require(came.cookies, handler.__name__)
                shown, said = handler(Asking(person, f"{came.url.scheme}://{came.url.netloc}"), *values)
            except RewardkitError as error:
                return [*(gradio.skip() for _ in range(outputs)), problem(error)]
            return [*shown, done(said)]

        # Gradio finds out by the annotation that the request is wanted; its class is not known above.
        handle.__annotations__ = {"request": gradio.Request}
        return handle


def problem(error: RewardkitError) -> str:
    """Return HTML that says what went wrong and what to do."""
    # A file's name stays as it is written.
    said = f"{error.where}: {error.what}" if error.where else _capital(error.what)
    parts = [f"<strong>{safe_line(said)}</strong>"]
    parts += [f"<span>expected: {safe_line(error.expected)}</span>"] if error.expected else []
    parts += [f"<span>{safe_line(_capital(error.fix))}</span>"] if error.fix else []
    return f'<div class="said problem" role="alert">{"".join(parts)}</div>'


def done(said: str) -> str:
    """Return HTML of a sentence; nothing where nothing is to be said."""
    return f'<div class="said" role="status">{safe_line(said)}</div>' if said else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
