"""What the parts of the judge room say to each other: the seam between protocols, backends and the run.

A protocol renders texts into a `Request`; a backend answers it with a `Completion`; the protocol parses
that into a verdict or a named `Failure`; the run turns verdicts into labels. A protocol that needs more than
one question asks them step by step (`Steps`): it yields the requests that can be answered at the same time,
gets their completions, and ends by returning its verdict. A failing item is data all the way through: only what
concerns the whole job (no such model, labels of several tokens) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Comparison, Order, Prompt, Response

Capability = Literal["labels", "replies"]
"""What a backend can tell: probabilities of labels, or replies in words."""
Said = Literal["first", "second", "tie", "both_bad"]
"""What a verdict comes to, in the order in which the responses were shown."""
V = TypeVar("V")


@dataclass(frozen=True)
class Request:
    """One question to a judge whose answer is one of a few labels, or a reply in words.

    Attributes:
        system: System message; trusted. None is sent where it is empty.
        user: User message. It carries untrusted texts, so a backend encodes it as plain text: whatever
            looks like a control token in it is not one.
        prefill: The start of the judge's own answer; the label comes next.
        labels: The possible answers; none where the answer is a reply.
        reply_tokens: Longest reply; 0 where the answer is a label.
        turns: What was said since, in pairs: what the judge replied, and what it was asked next. Untrusted too.
        cut: Whether a reply that is longer is an answer all the same, cut where it is.
        seed: Of a reply that is drawn; None where the most probable reply is wanted.
        temperature: At which it is drawn; None leaves that to the backend's settings.
        top_p: From the most probable tokens that have so much together; None draws from all.
        schema: JSON schema, as text, that the reply must follow; empty for a reply in plain words.
        about: Which item is asked about, for backends that know answers by item. It is no part of the question.
    """

    system: str
    user: str
    prefill: str
    labels: tuple[str, ...]
    reply_tokens: int = 0
    turns: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    schema: str = ""
    about: str = field(default="", compare=False)

    def then(self, reply: str, user: str, **changes: Any) -> Request:
        """Return the request that goes on with this conversation after a reply."""
        return replace(self, turns=(*self.turns, (reply, user)), **changes)

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """Who said what after the system message: the user, and then the assistant and the user in turns."""
        turns = (said for reply, asked in self.turns for said in (("assistant", reply), ("user", asked)))
        return (("user", self.user), *turns)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is said in it, in order."""
        return (self.system, self.user, *(text for turn in self.turns for text in turn), self.prefill)


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
        cost: Of all attempts; None where nobody knows the prices. Of an answer from before (no attempts) what it cost
            then, if no label tells of that yet.
        key: Under which the cost is noted until a label tells of it; empty where it is not.
        seconds: This request's share of the time that its batch took.
        was_cut: Whether the reply goes on beyond `reply_tokens`, where the request allows that.
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
    key: str = ""
    seconds: float = 0.0
    was_cut: bool = False
    failure: str = ""


Steps: TypeAlias = Generator[tuple[Request, ...], tuple[Completion, ...], V]
"""Questions that follow from each other, as they are asked; what it returns is what comes of them."""


@dataclass(frozen=True)
class Failure:
    """Why a completion is no verdict. Never a tie, a zero or a NaN."""

    reason: str


@dataclass(frozen=True)
class PairVerdict:
    """A parsed preference, in the order in which the responses were shown.

    Attributes:
        p_first: Probability that the response shown first is better, among the labels; half of what says neither.
        mass_outside: Probability that the model gave to anything but the labels.
        rationale: In the judge's words, where it gave any.
        p_tie: Probability that neither is better.
        p_both_bad: Probability that both are bad, and neither is better.
        criteria: `p_first` of single criteria, where they were asked about.
        spans: Passages that were pointed at: response (first or second), start, end, quote, sign, note and so on.
        details: What else is worth keeping with the label, as JSON can hold it. Where one of them is a mapping of just
            `first` and `second`, the label has it of `a` and `b`.
    """

    p_first: float
    mass_outside: float
    rationale: str = ""
    p_tie: float = 0.0
    p_both_bad: float = 0.0
    criteria: Mapping[str, float] = field(default_factory=dict)
    spans: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> Said:
        """The most probable of the four answers; what is as probable as a winner gives way to it."""
        half = (self.p_tie + self.p_both_bad) / 2
        if max(self.p_first, 1.0 - self.p_first) - half < max(self.p_tie, self.p_both_bad):
            return "tie" if self.p_tie >= self.p_both_bad else "both_bad"
        if self.p_first == 0.5:
            return "tie"
        return "first" if self.p_first > 0.5 else "second"


@dataclass(frozen=True)
class RatingVerdict:
    """A parsed rating.

    Attributes:
        level: Expected place on the scale, from 0 (its lowest end) to 1 (its highest); None where the criterion does
            not apply.
        mass_outside: Probability that the model gave to anything but the labels.
        rationale: In the judge's words, where it gave any.
        details: What else is worth keeping with the rating, as JSON can hold it.
    """

    level: float | None
    mass_outside: float
    rationale: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


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
class ByItem(Protocol):
    """A backend that knows answers by item (`Request.about`): the same words about two items are two questions to it.

    Attributes:
        by_item: Whether it does.
    """

    by_item: bool


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
    """How a comparison becomes questions, and the answers a preference. A published version never changes."""

    name: str
    prompt_hash: str
    needs: frozenset[Capability]

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask which response is better, showing response A first (ab) or second (ba); never raises."""


class RatingProtocol(Protocol):
    """How a response becomes questions on one criterion, and the answers a rating. Never changes once published."""

    name: str
    prompt_hash: str
    needs: frozenset[Capability]

    def rate(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Steps[RatingVerdict | Failure]:
        """Ask where on the scale the response stands; never raises."""
