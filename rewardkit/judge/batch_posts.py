"""How providers take batches of requests and give back what came of them: OpenAI's Batch API, Anthropic's batches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

ENDPOINT = "/v1/chat/completions"
OK = 200
UNSAID = "it does not say why"
CROWDED, CROWDED_SIGN = "token_limit_exceeded", "enqueued token limit"
"""By which code, or else by which words, OpenAI says that too much is waiting in batches."""
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""By what Anthropic calls an error: in batches it tells no number."""


@dataclass(frozen=True)
class Stand:
    """How far a batch is.

    Attributes:
        done: Requests that are, well or not.
        total: All of them.
        ended: Whether nothing more will come.
        refused: Why the provider refuses it as a whole; empty where it does not.
        crowded: Whether it does so because too much is waiting there already.
    """

    done: int
    total: int
    ended: bool
    refused: str = ""
    crowded: bool = False


@dataclass(frozen=True)
class Result:
    """What came of one request of a batch.

    Attributes:
        key: By which it was sent.
        answer: As the provider's package gives it; None where there is none.
        status: Why there is none, as HTTP numbers it; 0 where the provider did not come to it.
        said: Why there is none, in the provider's words.
    """

    key: str
    answer: Any = None
    status: int = 0
    said: str = ""


class Post(Protocol):
    """How a provider takes batches; whatever its package raises is left to the caller."""

    async def put(self, client: Any, bodies: Mapping[str, dict[str, Any]]) -> Any:
        """Bring what is sent, by key, to where a batch can be made of it; may be done again."""

    async def send(self, client: Any, brought: Any) -> str:
        """Make a batch of it, and return its id. From then on it is paid for."""

    async def look(self, client: Any, batch: str) -> Stand:
        """Return how far a batch is, or why the provider refuses it."""

    def take(self, client: Any, batch: str) -> AsyncIterator[Result]:
        """Yield what came of each request, in any order."""


class OpenAIPost:
    """OpenAI's Batch API: a file of requests becomes a file of answers and one of errors.

    Args:
        sdk: The package openai.
    """

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    async def put(self, client: Any, bodies: Mapping[str, dict[str, Any]]) -> Any:
        """Upload the file."""
        fixed = {"method": "POST", "url": ENDPOINT}
        lines = (json.dumps({"custom_id": key, **fixed, "body": body}) for key, body in bodies.items())
        content = "".join(f"{line}\n" for line in lines).encode()
        file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
        return file.id

    async def send(self, client: Any, brought: Any) -> str:
        """Make a batch of the file."""
        batch = await client.batches.create(input_file_id=brought, endpoint=ENDPOINT, completion_window="24h")
        return str(batch.id)

    async def look(self, client: Any, batch: str) -> Stand:
        """Return how far a batch is."""
        found = await client.batches.retrieve(batch)
        if found.status == "failed":
            problems = (found.errors.data or []) if found.errors else []
            said = "; ".join(str(each.message) for each in problems[:3]) or UNSAID
            crowded = any(each.code == CROWDED or CROWDED_SIGN in str(each.message).lower() for each in problems)
            return Stand(0, 0, ended=True, refused=said, crowded=crowded)
        counts = found.request_counts
        done = (counts.completed + counts.failed) if counts else 0
        return Stand(done, counts.total if counts else 0, found.status in ("completed", "expired", "cancelled"))

    async def take(self, client: Any, batch: str) -> AsyncIterator[Result]:
        """Yield what is in both files."""
        found = await client.batches.retrieve(batch)
        for file in (found.output_file_id, found.error_file_id):
            if file:
                content = await client.files.content(file)
                for result in results_of(content.text, self.result):
                    yield result

    def result(self, key: str, row: dict[str, Any]) -> Result:
        """Read a row of either file."""
        response, error = row.get("response") or {}, row.get("error") or {}
        status, body = int(response.get("status_code") or 0), response.get("body") or {}
        if status == OK:
            return Result(key, self._sdk.types.chat.ChatCompletion.construct(**body))
        said = error.get("message") or (body.get("error") or {}).get("message") or UNSAID
        return Result(key, None, status, str(said))


class AnthropicPost:
    """Anthropic's message batches: requests are sent as they are, results come as a file.

    Args:
        sdk: The package anthropic.
    """

    def __init__(self, sdk: Any) -> None:
        self._sdk = sdk

    async def put(self, client: Any, bodies: Mapping[str, dict[str, Any]]) -> Any:
        """Return what is sent."""
        return [{"custom_id": key, "params": body} for key, body in bodies.items()]

    async def send(self, client: Any, brought: Any) -> str:
        """Send it."""
        batch = await client.messages.batches.create(requests=brought)
        return str(batch.id)

    async def look(self, client: Any, batch: str) -> Stand:
        """Return how far a batch is."""
        found = await client.messages.batches.retrieve(batch)
        counts = found.request_counts
        done = counts.succeeded + counts.errored + counts.canceled + counts.expired
        return Stand(done, done + counts.processing, found.processing_status == "ended")

    async def take(self, client: Any, batch: str) -> AsyncIterator[Result]:
        """Yield what is in the file of results; nothing where the provider has thrown it away."""
        found = await client.messages.batches.retrieve(batch)
        if not found.results_url:
            return
        # As a whole: what breaks off while it is read as a stream is no error of the package's.
        for result in results_of(await client.get(found.results_url, cast_to=str), self.result):
            yield result

    def result(self, key: str, row: dict[str, Any]) -> Result:
        """Read a row of the file."""
        result = row["result"]
        if result["type"] == "succeeded":
            return Result(key, self._sdk.types.Message.construct(**result["message"]))
        if result["type"] == "errored":
            error = result["error"]["error"]
            return Result(key, None, STATUSES.get(str(error.get("type")), 500), str(error.get("message") or UNSAID))
        return Result(key, None, 0, str(result["type"]))


def results_of(text: str, read: Callable[[str, dict[str, Any]], Result]) -> Iterator[Result]:
    """Yield what a file of results says; rows that say nothing are left out: whoever misses an answer asks again.

    Args:
        text: One JSON object a line.
        read: Reads the row of a request.
    """
    # Not splitlines(): a reply may hold what it takes for the end of a line.
    for line in text.split("\n"):
        try:
            row = json.loads(line)
            yield read(str(row["custom_id"]), row)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            continue
