"""A backend without a model, for tests of whatever stands above it: ours and other people's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge_config import JudgeConfig

Answer = Callable[[Request], Completion | None]
WORDS = ("clear", "dull", "warm", "rushed", "vivid", "flat", "odd", "kind")
"""Of replies that mean nothing."""


class FakeBackend:
    """Answers from a hash of the request: the same question always gets the same answer.

    Args:
        answer: Called first; what it returns is the answer, and None means "as usual". Return a
            completion with `failure` set to see what a failing judge does.
        max_tokens: A request of more words than this fails, as too long a one does elsewhere.
        mass_outside: Probability given to no label.
        remember: Whether requests are kept in `seen`.

    Example:
        >>> backend = FakeBackend(lambda request: Completion(failure="out of order"))
        >>> backend.complete([Request("", "Which?", "", ("A", "B"))])[0].failure
        'out of order'
    """

    name = "fake"
    model = "fake"
    revision = "1"
    capabilities: frozenset[Capability] = frozenset({"labels", "replies"})

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        max_tokens: int | None = None,
        mass_outside: float = 0.125,
        remember: bool = True,
    ) -> None:
        self._answer = answer
        self._max_tokens = max_tokens
        self._mass = 1.0 - mass_outside
        self.settings = {"max_tokens": max_tokens, "mass_outside": mass_outside}
        self._remember = remember
        self.seen: list[Request] = []

    @classmethod
    def open(cls, config: JudgeConfig) -> FakeBackend:
        """Build the backend that a config names."""
        return cls(max_tokens=config.max_tokens, remember=False)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer each request."""
        if self._remember:
            self.seen.extend(requests)
        return [self._complete(request) for request in requests]

    def count_tokens(self, request: Request) -> int:
        """Return the number of words."""
        return len(" ".join(request.texts).split())

    def _complete(self, request: Request) -> Completion:
        told = self._answer(request) if self._answer else None
        return self._usual(request) if told is None else told

    def _usual(self, request: Request) -> Completion:
        tokens = self.count_tokens(request)
        if self._max_tokens is not None and tokens > self._max_tokens:
            return Completion(tokens=tokens, failure=f"the request is longer than max_tokens ({self._max_tokens})")
        # The seed of a reply that is drawn: votes are to differ, and labels to stay as they always were.
        drawn = () if request.seed is None else (str(request.seed),)
        random = Random("\x1f".join((*request.texts, *drawn)))
        if not request.labels:
            reply = json.dumps(_instance(json.loads(request.schema), random)) if request.schema else _words(random)
            reply_tokens = min(len(reply.split()), request.reply_tokens)
            return Completion(reply=reply, tokens=tokens, reply_tokens=reply_tokens)
        draws = [random.expovariate(1.0) for _ in request.labels]
        shares = [self._mass * draw / sum(draws) for draw in draws]
        logprobs = {label: math.log(share) for label, share in zip(request.labels, shares, strict=True)}
        return Completion(logprobs, tokens=tokens)


def _words(random: Random) -> str:
    """Return a reason of a few words, and a verdict."""
    reason = " ".join(random.choices(WORDS, k=random.randint(3, 8)))
    return f"{reason}.\nVerdict: {random.choice('AB')}"


def _instance(schema: Mapping[str, Any], random: Random) -> Any:
    """Return a value that follows a JSON schema, of the kinds that verdicts are made of."""
    if choices := schema.get("enum"):
        return random.choice(choices)
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _instance(inner, random) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {}), random) for _ in range(random.randint(1, 3))]
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 1)
        return random.randint(low, high) if kind == "integer" else random.uniform(low, high)
    return " ".join(random.choices(WORDS, k=3))
