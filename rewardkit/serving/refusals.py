"""What a client is told instead of an answer: a status, one clear sentence, and when to come again."""

from __future__ import annotations

import math

from fastapi.responses import JSONResponse, Response


class Refusal(Exception):
    """A request that gets no answer.

    Args:
        status: Of HTTP.
        what: What is wrong, in words for whoever sent it.
        retry_after: Seconds after which the same request may be answered; None where time changes nothing.
    """

    def __init__(self, status: int, what: str, *, retry_after: float | None = None) -> None:
        self.status, self.what = status, what
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        super().__init__(what)

    def response(self) -> Response:
        """Return it in the form that clients of OpenAI's and vLLM's servers read."""
        told = {"error": {"message": self.what, "type": "refused", "code": self.status}}
        return JSONResponse(told, self.status, self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        # Of a large body not all may have been read, and a server that ends takes no further request.
        return {**found, "Connection": "close"} if self.status in (413, 503) else found


class Gone(Exception):
    """The client left before its answer was there."""
