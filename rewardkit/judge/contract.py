"""What the parts of the judge room say to each other: the seam between protocols, backends and the run.

A protocol renders texts into a `Request`; a backend answers it with a `Completion`; the protocol parses
that into a verdict or a named `Failure`; the run turns verdicts into labels. A failing item is data all
the way through: only what concerns the whole job (no such model, labels of several tokens) is raised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Comparison, Order, Prompt, Response

Capability = Literal["labels", "replies"]
"""What a backend can tell: probabilities of labels, or replies in words."""


@dataclass(frozen=True)
class Request:
    """One question to a judge whose answer is one of a few labels, or a reply in words.

    Attributes:
        system: System message; trusted.
        user: User message. It carries untrusted texts, so a backend encodes it as plain text: whatever
            looks like a control token in it is not one.
        prefill: The start of the judge's own answer; the label comes next.
        labels: The possible answers; none where the answer is a reply.
        reply_tokens: Longest reply; 0 where the answer is a label.
    """

    system: str
    user: str
    prefill: str
    labels: tuple[str, ...]
    reply_tokens: int = 0


@dataclass(frozen=True)
class Completion:
    """A backend's answer to one request.

    Attributes:
        logprobs: Log-probability (nats) of each label among all tokens, not among the labels only.
        bounds: What the log-probability of a label is at most, where a server tells only those of the most probable
            tokens and the label is none of them.
        reply: In words, where the request asked for one.
        tokens: Tokens of the request, as the model counts them.
        reply_tokens: Tokens of the reply, likewise; thoughts that a server does not show are among them.
        served: The model that answered, as a server calls it; names stand for other models as time goes by.
        attempts: How often it was asked for.
        paid_again: How many further attempts were set money aside for.
        cost: Of all attempts; None where nobody knows the prices.
        seconds: This request's share of the time that its batch took.
        failure: Why there is no answer; empty if there is one.
    """

    logprobs: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    reply: str = ""
    tokens: int = 0
    reply_tokens: int = 0
    served: str = ""
    attempts: int = 1
    paid_again: int = 0
    cost: float | None = None
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a completion is no verdict. Never a tie, a zero or a NaN."""

    reason: str


@dataclass(frozen=True)
class PairVerdict:
    """A parsed preference, in the order in which the responses were shown.

    Attributes:
        p_first: Probability that the response shown first is better, among the labels.
        mass_outside: Probability that the model gave to anything but the labels.
        rationale: In the judge's words, where it gave any.
    """

    p_first: float
    mass_outside: float
    rationale: str = ""


@dataclass(frozen=True)
class RatingVerdict:
    """A parsed rating.

    Attributes:
        level: Expected place on the scale, from 0 (its lowest end) to 1 (its highest); None where the criterion does
            not apply.
        mass_outside: Probability that the model gave to anything but the labels.
    """

    level: float | None
    mass_outside: float


class PairTexts(Protocol):
    """A comparison with its texts."""

    @property
    def comparison(self) -> Comparison:
        """The comparison."""

    @property
    def prompt(self) -> Prompt:
        """What both responses answer."""

    @property
    def response_a(self) -> Response:
        """Response A, in the comparison's frame."""

    @property
    def response_b(self) -> Response:
        """Response B, in the comparison's frame."""


class ResponseTexts(Protocol):
    """A response with the prompt that it answers."""

    @property
    def prompt(self) -> Prompt:
        """What the response answers."""

    @property
    def response(self) -> Response:
        """The response."""


class Backend(Protocol):
    """A model that answers requests in batch."""

    @property
    def name(self) -> str:
        """The registered name."""

    @property
    def model(self) -> str:
        """The model's name, as the user called it."""

    @property
    def revision(self) -> str:
        """Changes when the model's answers may have changed."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything else that can change an answer."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can tell; a protocol that needs something else is refused before the job starts."""

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer each request, in order; a request that cannot be answered has `failure` set.

        Raises:
            ModelError: The model cannot answer such requests at all.
        """

    def count_tokens(self, request: Request) -> int:
        """Return how many tokens a request has."""


@runtime_checkable
class Streaming(Protocol):
    """A backend that has many requests under way at the same time, and needs no batches."""

    def stream(self, requests: Iterable[Request | None]) -> Generator[tuple[int, Completion], None, None]:
        """Answer requests as the answers come, each with the request's number; requests are read a little ahead.

        None among them is no request: there is nothing to ask until another answer was read. Whoever stops reading ends
        what is under way.

        Raises:
            ModelError: The model cannot answer such requests at all.
        """


@runtime_checkable
class Priced(Protocol):
    """A backend whose answers are paid for.

    Attributes:
        allow: Asked before an attempt is paid for once more; it may not be where the money is used up.
    """

    allow: Callable[[float], bool]

    def price(self, request: Request) -> float:
        """Return the most that one attempt may cost, about; 0 where nobody knows the prices."""


class PairProtocol(Protocol):
    """How a comparison becomes a request, and an answer a preference. A published version never changes."""

    name: str
    prompt_hash: str
    needs: Capability

    def render(self, texts: PairTexts, rubric: Rubric, order: Order) -> Request:
        """Ask which response is better, showing response A first (ab) or second (ba)."""

    def parse(self, completion: Completion) -> PairVerdict | Failure:
        """Read the answer; never raises."""


class RatingProtocol(Protocol):
    """How a response becomes a request on one criterion, and an answer a rating. Never changes once published."""

    name: str
    prompt_hash: str
    needs: Capability

    def render_rating(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Request:
        """Ask where on the scale the response stands."""

    def parse_rating(self, completion: Completion) -> RatingVerdict | Failure:
        """Read the answer; never raises."""


MOST_HIDDEN = 0.02


@dataclass(frozen=True)
class LabelDistribution:
    """Probabilities of the labels given that the answer is one of them, and the mass that is not.

    Attributes:
        probabilities: Label: probability among the labels (they sum to 1).
        mass_outside: Probability of any other token.
        hidden: What labels whose probability nobody told may hold at most, as a share of the labels' mass.
    """

    probabilities: Mapping[str, float]
    mass_outside: float
    hidden: float = 0.0


def distribution(completion: Completion, labels: tuple[str, ...], least_mass: float) -> LabelDistribution | Failure:
    """Read a completion's label probabilities, or say what is wrong with them.

    Args:
        completion: A backend's answer.
        labels: The labels that must be there.
        least_mass: Below this probability of answering with a label at all, the labels mean nothing.
    """
    if completion.failure:
        return Failure(completion.failure)
    told = {**completion.bounds, **completion.logprobs}
    absent = [label for label in labels if label not in told]
    if absent:
        return Failure(f"no log-probability for the label {absent[0]!r}")
    logprobs = [told[label] for label in labels]
    if any(math.isnan(value) or value > 1e-3 for value in logprobs):
        return Failure("a log-probability is not one")
    masses = [math.exp(min(value, 0.0)) for value in logprobs]
    inside = sum(masses)
    if inside > 1.001:
        return Failure("the labels' probabilities sum to more than 1")
    if inside < least_mass:
        return Failure(f"the labels hold less than {least_mass:g} of the probability")
    shares = {label: mass / inside for label, mass in zip(labels, masses, strict=True)}
    # A label that is not told of counts with the most that it may hold: towards doubt, and by little or not at all.
    hidden = sum(share for label, share in shares.items() if label not in completion.logprobs)
    if hidden > MOST_HIDDEN:
        return Failure(f"labels that are not among the most probable tokens may hold up to {hidden:.0%}")
    return LabelDistribution(shares, max(0.0, 1.0 - inside), hidden)
