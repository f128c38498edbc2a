"""The style sheet with the first bytes of Gradio's page, and not after its script.

Gradio puts a page's own head into the document when its script has run; until then it shows a logo and a word of its
own. The sheet that is linked here hides both.
"""

from __future__ import annotations

from typing import Any

from starlette.datastructures import MutableHeaders

from labeling_ui.gate import App, Receive, Scope, Send

HEAD = b"<head>"


class FirstPaint:
    """Middleware: links a style sheet at the beginning of one page's head."""

    def __init__(self, app: App, path: str, sheet: str) -> None:
        self.app, self.path = app, path
        self.link = f'<link rel="stylesheet" href="{sheet}">'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through; the page itself is held until it is complete."""
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        parts: list[bytes] = []

        async def hold(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                page = b"".join(parts).replace(HEAD, HEAD + self.link, 1)
                MutableHeaders(scope=start)["content-length"] = str(len(page))
                await send(start)
                await send({"type": "http.response.body", "body": page})

        # A compressed page has no head that could be found.
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, hold)
