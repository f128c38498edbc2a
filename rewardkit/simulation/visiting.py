"""A visitor of the labelling page who is a program: the same requests as a browser sends, and no others."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rewardkit.errors import JobFailed

T = TypeVar("T")
LOST = (ConnectionError, http.client.HTTPException, TimeoutError)


@dataclass
class Visitor:
    """Somebody who was invited.

    Attributes:
        link: Of their invitation.
        patience: Seconds for which a server that does not answer is asked again.
        timeout: Seconds that one answer may take.
        refusals: Why answers were refused.
    """

    link: str
    patience: float = 30.0
    timeout: float = 30.0
    refusals: list[str] = field(default_factory=list)
    _headers: dict[str, str] = field(default_factory=dict, repr=False)
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def enter(self) -> None:
        """Open the invitation.

        Raises:
            JobFailed: It is refused, or nobody answers.
        """
        status, headers, text = self._request("GET", urlsplit(self.link).path)
        if status != 303:
            raise JobFailed(
                f"the invitation is refused ({status})",
                where=self.link,
                fix="is it this study's server, with this config and workspace? Its secret signs what it lets in",
            )
        self._headers["cookie"] = headers["set-cookie"].partition(";")[0]
        self._headers["x-csrf-token"] = self.ask("/api/me")["csrf"]

    def ask(self, path: str) -> dict[str, Any]:
        """Return what the server says.

        Raises:
            JobFailed: It refuses, or nobody answers.
        """
        return self._json("GET", path)

    def tell(self, path: str, **said: Any) -> dict[str, Any]:
        """Tell the server something; return where the visitor stands then.

        Raises:
            JobFailed: It refuses, or nobody answers.
        """
        return self._json("POST", path, said)

    def submit(self, lease: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Send an answer; return where the visitor stands then.

        An answer that is refused is among `refusals`, and the server is asked where the visitor stands. That is also
        what becomes of one that was stored when the connection was lost, and is sent again: nobody counts it here.

        Raises:
            JobFailed: The server refuses for another reason, or nobody answers.
        """
        return self.act("/api/submit", lease=lease, answer=answer)

    def act(self, path: str, **said: Any) -> dict[str, Any]:
        """Take a step that can be refused: as `submit`.

        Raises:
            JobFailed: The server refuses for another reason, or nobody answers.
        """
        status, _, text = self._request("POST", path, said)
        return self._turn(status, text, path)

    def lines(self, path: str, **said: Any) -> Generator[dict[str, Any], None, None]:
        """Yield what a stream says, line by line; who stops listening closes the connection.

        Where it is refused there is one line: the turn that the visitor stands at.

        Raises:
            JobFailed: The server refuses for another reason, or nobody answers.
        """
        answer = self._patiently(lambda: self._once("POST", path, said))
        if answer.status != 200:
            yield {"turn": self._turn(answer.status, answer.read(), path)}
            return
        try:
            yield from (_object(json.loads(line)) for line in answer if line.strip())
        except LOST:
            # It ends in the middle, which its last line shows.
            return
        finally:
            if not answer.isclosed():
                self.leave()

    def leave(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _turn(self, status: int, text: bytes, path: str) -> dict[str, Any]:
        if status != 409:
            return _read(status, text, path)
        self.refusals.append(str(json.loads(text)["problem"]))
        return self.ask("/api/turn")

    def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, _, text = self._request(method, path, body)
        return _read(status, text, path)

    def _request(self, method: str, path: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        def whole() -> tuple[int, http.client.HTTPMessage, bytes]:
            answer = self._once(method, path, body)
            return answer.status, answer.headers, answer.read()

        return self._patiently(whole)

    def _patiently(self, request: Callable[[], T]) -> T:
        until = time.monotonic() + self.patience
        while True:
            kept = self._connection is not None
            try:
                return request()
            except LOST as error:
                self.leave()
                if time.monotonic() > until:
                    raise JobFailed(f"the server does not answer ({error})", where=self.link) from error
                # One that was kept open may have been closed meanwhile, as it is on browsers: a new one is not.
                time.sleep(0.0 if kept else 0.1)

    def _once(self, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        if self._connection is None:
            place = urlsplit(self.link)
            kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(place.netloc, timeout=self.timeout)
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()


def _read(status: int, text: bytes, path: str) -> dict[str, Any]:
    if status != 200:
        raise JobFailed(f"the server refuses ({status}): {text.decode('utf-8', 'replace')[:200]}", where=path)
    return _object(json.loads(text))


def _object(found: Any) -> dict[str, Any]:
    assert isinstance(found, dict)
    return found
