"""What stands before every request: who may go where, how much they may send, what the browser may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from labeling_ui.people import People
from labeling_ui.sessions import COOKIE, Sessions

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The page's own templates are evaluated by Gradio's script; what strangers wrote is not among them.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "media-src 'none'",
        "object-src 'none'",
        "frame-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}
RESEARCHERS = ("admin",)
ROLES = {"/work": ("annotator", "admin"), "/admin": RESEARCHERS}
LARGEST_FORM = 2_000_000
LARGEST_ENTRY = 20_000
"""Bytes of a name and a password, which anybody may send."""
BESIDE = ("/file", "/proxy", "/upload", "/stream")


class Gate:
    """Middleware: only people of the study see the work page, only researchers the other one."""

    def __init__(self, app: App, people: People, sessions: Sessions) -> None:
        self.app, self.people, self.sessions = app, people, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = await self._refusal(scope)
        await (refusal or self.app)(scope, receive, guarded)

    async def _refusal(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if _too_large(scope):
            return PlainTextResponse("the request is too large, or does not say how large it is", 413)
        allowed = next((roles for start, roles in ROLES.items() if _is_under(path, start)), None)
        if allowed is None:
            return None
        person_id = self.sessions.person_of(Request(scope).cookies.get(COOKIE))
        person = await run_in_threadpool(self.people.get, person_id) if person_id else None
        if person is None:
            return RedirectResponse("/login", 303) if scope["method"] == "GET" else PlainTextResponse("log in", 401)
        if person.role not in allowed:
            return PlainTextResponse("this page is for the researchers of the study", 403)
        if allowed == RESEARCHERS and person.state != "active":
            return PlainTextResponse("you are paused; ask another researcher of the study", 403)
        if path.startswith("/work/") and not _only_shows(scope):
            return PlainTextResponse("the annotators' page needs nothing of this kind", 403)
        return None


def _is_under(path: str, start: str) -> bool:
    return path == start or path.startswith(start + "/")


def _too_large(scope: Scope) -> bool:
    """Tell whether a request may hold more than is read; how much researchers upload, their page limits itself."""
    path, headers = scope["path"], Headers(scope=scope)
    if _is_under(path, "/admin"):
        return False
    most = LARGEST_FORM if path.startswith("/api/") else LARGEST_ENTRY
    size = headers.get("content-length", "" if scope["method"] == "POST" else "0")
    # What comes in chunks is as long as it likes, whatever length it states beside them.
    return "transfer-encoding" in headers or not size.isdecimal() or int(size) > most


def _only_shows(scope: Scope) -> bool:
    """Tell whether a request is for what the annotators' page consists of, and not for what Gradio offers beside it.

    Its routes take uploads from everybody, and fetch files and addresses that the browser names.
    """
    return scope["method"] in ("GET", "HEAD") and not any(word in scope["path"] for word in BESIDE)
