"""How providers take batches of requests and give back what came of them: OpenAI's Batch API, Anthropic's batches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rewardkit.errors import ModelError

ENDPOINT = "/v1/chat/completions"
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
    """

    done: int
    total: int
    ended: bool


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
        """Return how far a batch is.

        Raises:
            ModelError: The provider refuses it as a whole.
        """

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
            problems = [str(each.message) for each in (found.errors.data or [])] if found.errors else []
            raise ModelError(
                f"the provider refuses the batch: {'; '.join(problems[:3]) or 'it does not say why'}",
                where=batch,
                fix="mend that, or set judge.server.batch: false",
            )
        counts = found.request_counts
        done = (counts.completed + counts.failed) if counts else 0
        return Stand(done, counts.total if counts else 0, found.status in ("completed", "expired", "cancelled"))

    async def take(self, client: Any, batch: str) -> AsyncIterator[Result]:
        """Yield what is in both files."""
        found = await client.batches.retrieve(batch)
        for file in (found.output_file_id, found.error_file_id):
            if file:
                content = await client.files.content(file)
                for result in self._results(content.text):
                    yield result

    def _results(self, text: str) -> Iterator[Result]:
        # Not splitlines(): a reply may hold what it takes for the end of a line.
        for line in text.split("\n"):
            try:
                row = json.loads(line)
                key, response, error = str(row["custom_id"]), row.get("response") or {}, row.get("error") or {}
                status, body = int(response.get("status_code") or 0), response.get("body") or {}
                said = error.get("message") or (body.get("error") or {}).get("message") or "it does not say why"
            except (ValueError, TypeError, AttributeError, KeyError):
                # Half a line names nobody: whoever misses an answer asks again.
                continue
            if status == 200:
                yield Result(key, self._sdk.types.chat.ChatCompletion.construct(**body))
            else:
                yield Result(key, None, status, str(said))


class AnthropicPost:
    """Anthropic's message batches: requests and results are sent as they are."""

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
        """Yield the results."""
        async for each in await client.messages.batches.results(batch):
            result = each.result
            if result.type == "succeeded":
                yield Result(each.custom_id, result.message)
            elif result.type == "errored":
                error = result.error.error
                yield Result(each.custom_id, None, STATUSES.get(error.type, 500), str(error.message))
            else:
                yield Result(each.custom_id, None, 0, str(result.type))
