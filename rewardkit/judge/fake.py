"""A backend without a model, for tests of whatever stands above it: ours and other people's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge_config import JudgeConfig

Answer = Callable[[Request], Completion | None]


class FakeBackend:
    """Answers from a hash of the request: the same question always gets the same answer.

    Args:
        answer: Called first; what it returns is the answer, and None means "as usual". Return a
            completion with `failure` set to see what a failing judge does.
        max_tokens: A request of more words than this fails, as too long a one does elsewhere.
        mass_outside: Probability given to no label.

    Example:
        >>> backend = FakeBackend(lambda request: Completion(failure="out of order"))
        >>> backend.complete([Request("", "Which?", "", ("A", "B"))])[0].failure
        'out of order'
    """

    name = "fake"
    model = "fake"
    revision = "1"
    capabilities: frozenset[Capability] = frozenset({"labels"})

    def __init__(
        self, answer: Answer | None = None, *, max_tokens: int | None = None, mass_outside: float = 0.125
    ) -> None:
        self._answer = answer
        self._max_tokens = max_tokens
        self._mass = 1.0 - mass_outside
        self.settings = {"max_tokens": max_tokens, "mass_outside": mass_outside}
        self.seen: list[Request] = []

    @classmethod
    def open(cls, config: JudgeConfig) -> FakeBackend:
        """Build the backend that a config names."""
        return cls(max_tokens=config.max_tokens)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer each request, and keep it in `seen`."""
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
        random = Random("\x1f".join(request.texts))
        draws = [random.expovariate(1.0) for _ in request.labels]
        shares = [self._mass * draw / sum(draws) for draw in draws]
        logprobs = {label: math.log(share) for label, share in zip(request.labels, shares, strict=True)}
        return Completion(logprobs, tokens=tokens)
