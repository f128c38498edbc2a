"""The `openai` backend: any server that speaks OpenAI's chat completions.

Labels are read from the log-probabilities of the first token of the answer. Servers tell only those of the most
probable tokens: what a label that is not among them may hold at most is passed on as a bound, never as zero. A server
that gives no log-probabilities at all, or follows no schema where one is given, ends the job with what to do about it;
it is never asked for less instead.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.judge.attempts import EXCERPT, Wrong, tokens_in, tokens_of
from rewardkit.judge.batch_posts import OpenAIPost, Post
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge.http import ServerBackend
from rewardkit.judge.keepable import name_of
from rewardkit.judge_config import ServerConfig

SPELLINGS = 3
"""Of a label, that a model may well give: bare, after a space, after a line's end."""
ABOVE_ONE = 1e-3
"""Of a log-probability: what rounding may add to 0."""
REFUSED = (400, 422)
SCHEMA_SIGNS = ("response_format", "json_schema", "structured output", "guided", "grammar")
"""Words by which servers say that they follow no schema, or not this one."""


@dataclass
class OpenAIDialect:
    """How a server is spoken to that knows chat completions.

    Attributes:
        model: The model's name there.
        server: Where it is.
        name: The dialect's.
    """

    model: str
    server: ServerConfig
    name: str = "openai"
    _told: bool = False

    def __post_init__(self) -> None:
        self.sdk: Any = require("openai", "judge")
        self.post: Post = OpenAIPost(self.sdk)

    def client(self, key: str, **how: Any) -> Any:
        """Open a client of the package."""
        return self.sdk.AsyncOpenAI(base_url=self.server.url, api_key=key, **how)

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent."""
        temperature = self.server.temperature if request.temperature is None else request.temperature
        body: dict[str, Any] = {
            "model": self.model,
            "messages": _messages(request),
            "max_tokens": request.reply_tokens or 1,
        }
        if request.labels:
            body |= {"logprobs": True, "top_logprobs": self.server.top_logprobs, "temperature": 0.0}
        elif temperature is not None:
            body["temperature"] = temperature
        if request.seed is not None:
            body["seed"] = request.seed
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.schema:
            schema = {"name": "verdict", "strict": True, "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def send(self, client: Any, body: dict[str, Any]) -> Any:
        """Send it as it is: what the package would look for in it, files to upload, takes a quarter of its time."""
        return await client.post("/chat/completions", cast_to=self.sdk.types.chat.ChatCompletion, body=body)

    def fix(self, request: Request, status: int, said: str) -> str:
        """Say what helps where a server knows no schema or no temperature; other refusals concern one request."""
        low = said.lower()
        if status in REFUSED and request.schema and any(sign in low for sign in SCHEMA_SIGNS):
            return "choose a protocol that needs no JSON schema, or a server that follows one"
        if status in REFUSED and not request.labels and "temperature" in low:
            return "set judge.server.temperature: null for a model that takes none (a policy: its temperature)"
        return ""

    def read(self, request: Request, answer: Any) -> Completion:
        """Read an answer.

        Raises:
            Wrong: It is none.
            ModelError: The server gives no log-probabilities.
        """
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or len(choices) != 1:
            count = len(choices) if isinstance(choices, list) else "no"
            raise Wrong(f"the server gave {count} answers where one was asked for", paid=True)
        message = choices[0].message
        said = message.content or ""
        if not isinstance(said, str):
            raise TypeError("the reply is no text")
        if not said and isinstance(refusal := getattr(message, "refusal", None), str) and refusal:
            raise Wrong(f"the judge refuses: {refusal[:EXCERPT]}", again=False, paid=True)
        was_cut = choices[0].finish_reason == "length"
        if not request.labels and was_cut and not request.cut:
            raise Wrong(f"the reply was cut off at {request.reply_tokens} tokens", again=False, paid=True)
        if usage := answer.usage:
            tokens, reply_tokens = int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)
        else:
            tokens, reply_tokens = tokens_of(request), tokens_in(said)
        counted = Completion(tokens=tokens, reply_tokens=reply_tokens, served=name_of(answer.model))
        if not request.labels:
            return replace(counted, reply=said, was_cut=was_cut)
        logprobs, bounds = self._labels(request, choices[0])
        return replace(counted, logprobs=logprobs, bounds=bounds)

    def _labels(self, request: Request, choice: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Read the labels' log-probabilities at the first token, and bounds for those that are not told."""
        content = choice.logprobs.content if choice.logprobs else None
        if not content:
            if self._told:
                raise Wrong("the answer has no log-probabilities", paid=True)
            raise ModelError(
                "the server gives no log-probabilities",
                where=f"{self.model} at {self.server.url}",
                fix="choose a protocol that reads replies in words, or another server",
            )
        self._told = True
        found: dict[str, float] = {}
        told = [(str(each.token), float(each.logprob)) for each in content[0].top_logprobs or [content[0]]]
        if not all(math.isfinite(logprob) and logprob < ABOVE_ONE for _, logprob in told):
            raise ValueError("a log-probability is not one")
        for token, logprob in told:
            # Several tokens are the same label: with a space before it, and without.
            if (label := token.strip()) in request.labels:
                found[label] = float(_logsumexp(found.get(label, -math.inf), logprob))
        least = min(logprob for _, logprob in told)
        rest = math.log(max(1e-12, 1.0 - sum(math.exp(logprob) for _, logprob in told)))
        # No spelling of it more than the least probable token that is told, and all together no more than what is left.
        bound = min(least + math.log(SPELLINGS), rest)
        return found, {label: bound for label in request.labels if label not in found}


class OpenAIBackend(ServerBackend):
    """Asks a server that speaks OpenAI's chat completions; see `ServerBackend`."""

    name = "openai"
    capabilities: frozenset[Capability] = frozenset({"labels", "replies"})
    speaks = OpenAIDialect

    def __init__(self, model: str, server: ServerConfig, key: str, *, max_tokens: int = 2048) -> None:
        super().__init__(model, server, key, max_tokens=max_tokens)
        # In this order ever since: an annotator's id is a hash of how its settings are written down.
        self.settings = {"top_logprobs": server.top_logprobs, **self.settings}


def _messages(request: Request) -> list[dict[str, str]]:
    """Return a request as chat messages; what a server's answer would begin with cannot be told it."""
    system = [("system", request.system)] if request.system else []
    return [{"role": role, "content": said} for role, said in (*system, *request.messages)]


def _logsumexp(one: float, other: float) -> float:
    high = max(one, other)
    return high if math.isinf(high) else high + math.log(math.exp(one - high) + math.exp(other - high))
