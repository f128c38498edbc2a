"""The `anthropic` backend: models behind Anthropic's messages, which reply in words and tell no probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.judge.attempts import EXCERPT, Wrong, tokens_in, tokens_of
from rewardkit.judge.batch_posts import AnthropicPost, Post
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge.http import ServerBackend
from rewardkit.judge.keepable import name_of
from rewardkit.judge_config import ServerConfig

REFUSED = 400
DRAWING = ("temperature", "top_p")
CUT = ("max_tokens", "model_context_window_exceeded")
"""Reasons to stop that leave a reply without its end."""


@dataclass
class AnthropicDialect:
    """How Anthropic's messages are spoken.

    Attributes:
        model: The model's name there.
        server: Where it is.
        name: The dialect's.
    """

    model: str
    server: ServerConfig
    name: str = "anthropic"

    def __post_init__(self) -> None:
        self.sdk: Any = require("anthropic", "judge")
        self.post: Post = AnthropicPost(self.sdk)

    def client(self, key: str, **how: Any) -> Any:
        """Open a client of the package."""
        return self.sdk.AsyncAnthropic(base_url=self.server.url, api_key=key, **how)

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent; a seed is not, for there is none here."""
        temperature = self.server.temperature if request.temperature is None else request.temperature
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.reply_tokens or 1,
            "messages": [{"role": role, "content": said} for role, said in request.messages],
        }
        if request.system:
            body["system"] = request.system
        if temperature is not None:
            body["temperature"] = temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": json.loads(request.schema)}}
        return body

    async def send(self, client: Any, body: dict[str, Any]) -> Any:
        """Send it."""
        # The package knows these no more; models that take them are still served.
        known = {name: value for name, value in body.items() if name not in DRAWING}
        more = {name: value for name, value in body.items() if name in DRAWING}
        return await client.messages.create(**known, extra_body=more or None)

    def fix(self, request: Request, status: int, said: str) -> str:
        """Say what helps where a model knows no schema or no temperature; other refusals concern one request."""
        low = said.lower()
        if status == REFUSED and request.schema and any(sign in low for sign in ("output_config", "schema")):
            return "choose a protocol that needs no JSON schema, or a model that follows one"
        if status == REFUSED and "temperature" in low:
            return "set judge.server.temperature: null (a policy: its temperature), and none in the protocol's options"
        return ""

    def read(self, request: Request, answer: Any) -> Completion:
        """Read an answer.

        Raises:
            Wrong: It is none.
            ModelError: Probabilities were asked for, which nobody is told here.
        """
        if request.labels:
            raise ModelError(
                "the provider tells no probabilities of labels",
                where=f"{self.model} at {self.server.url}",
                fix="choose a protocol that reads replies in words, or another backend",
            )
        if not isinstance(answer.content, list):
            raise TypeError("the answer has no content")
        said = "".join(part.text for part in answer.content if part.type == "text")
        if answer.stop_reason == "refusal":
            why = getattr(answer.stop_details, "explanation", None) or said or "it gives no reason"
            raise Wrong(f"the judge refuses: {str(why)[:EXCERPT]}", again=False, paid=True)
        was_cut = answer.stop_reason in CUT
        if was_cut and not request.cut:
            raise Wrong(f"the reply was cut off at {request.reply_tokens} tokens", again=False, paid=True)
        tokens, reply_tokens = _used(answer.usage) or (tokens_of(request), tokens_in(said))
        served = name_of(answer.model)
        return Completion(reply=said, tokens=tokens, reply_tokens=reply_tokens, served=served, was_cut=was_cut)


class AnthropicBackend(ServerBackend):
    """Asks one of Anthropic's models; see `ServerBackend`."""

    name = "anthropic"
    capabilities: frozenset[Capability] = frozenset({"replies"})
    speaks = AnthropicDialect


def _used(usage: Any) -> tuple[int, int] | None:
    """Return the tokens of the request, those that were read from the provider's own cache too, and of the reply."""
    if not usage:
        return None
    counts: Mapping[str, Any] = usage if isinstance(usage, Mapping) else vars(usage)
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(int(counts.get(name) or 0) for name in read), int(counts.get("output_tokens") or 0)
