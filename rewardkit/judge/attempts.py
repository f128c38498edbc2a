"""One request's life behind a server, whoever the provider and however it is sent: what is tried, paid and kept."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rewardkit.errors import ModelError
from rewardkit.judge.batch_posts import Post
from rewardkit.judge.cache import AnswerCache, Bill, answer_key, payer
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.keepable import sane
from rewardkit.judge_config import ServerConfig
from rewardkit.storable import storable

CHARACTERS_A_TOKEN = 4
"""Of English, about; only estimates rest on it."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
EXCERPT = 200
SHORTEST_KEY = 5
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OVERLOADED = frozenset({429, 503, 529})
HOPELESS = frozenset({401, 402, 403, 404})
"""What concerns all requests; once one was answered, only a key that is none (401) does."""
NO_KEY = 401
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError)
"""What reading an answer of another shape than the documented one raises."""


@dataclass(frozen=True)
class Wrong(Exception):
    """An answer that is none.

    Attributes:
        what: Why.
        again: Whether asking once more may help.
        overloaded: Whether the server wants to be asked less.
        paid: Whether it may have been paid for all the same: the server had worked on it.
        wait: Seconds that it wants to be left alone.
    """

    what: str
    again: bool = True
    overloaded: bool = False
    paid: bool = False
    wait: float | None = None


class Dialect(Protocol):
    """How a provider is spoken to: what differs between them, and nothing else."""

    @property
    def name(self) -> str:
        """The provider's, which tells its answers from others'."""

    @property
    def sdk(self) -> Any:
        """The provider's package, whose errors are told apart by their names."""

    @property
    def post(self) -> Post:
        """How the provider takes batches."""

    def client(self, key: str, **how: Any) -> Any:
        """Open a client of the package."""

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent."""

    async def send(self, client: Any, body: dict[str, Any]) -> Any:
        """Send it, and return the package's answer."""

    def read(self, request: Request, answer: Any) -> Completion:
        """Read an answer with the tokens that it took.

        Raises:
            Wrong: It is none.
            ModelError: No answer to any request can be read.
        """

    def fix(self, request: Request, status: int, said: str) -> str:
        """Say what helps where a refusal concerns all requests; nothing where it concerns this one only."""


@dataclass
class Terms:
    """On which terms requests are sent and answers are taken, for as long as a stream lasts.

    Attributes:
        dialect: How the provider is spoken to.
        model: The model's name there.
        server: Where it is, and what it bears.
        max_tokens: Of a request that is sent.
        key: The API key, which stands in no message.
        allow: Whether an attempt may be paid for once more.
        cache: Where answers are kept, if they are.
    """

    dialect: Dialect
    model: str
    server: ServerConfig
    max_tokens: int
    key: str
    allow: Callable[[float], bool]
    cache: AnswerCache | None = None
    _served: str = ""
    _went_well: bool = False

    @property
    def payer(self) -> str:
        """In whose name it is noted what answers cost."""
        return payer(self.model, self.server.url.rstrip("/"))

    def key_of(self, request: Request) -> str:
        """Return the key under which the answer is kept."""
        return answer_key(self.dialect.name, self.server.url, self.dialect.body(request), request)

    def read(self, request: Request, answer: Any) -> Completion:
        """Read an answer.

        Raises:
            Wrong: It is none, or another model gave it than those before.
            ModelError: No answer to any request can be read.
        """
        try:
            found = sane(self.dialect.read(request, answer))
        except UNREADABLE as error:
            raise unreadable(error) from error
        if other := self.other_model(found):
            raise Wrong(other, again=False, paid=True)
        self._went_well = True
        return found

    def other_model(self, found: Completion) -> str:
        """Return what is wrong with an answer, bought now or before, that another model gave than those before."""
        # One and the same model answers all requests: names are the server's to give.
        if self._served and found.served != self._served:
            return f"answered by the model {found.served!r}, and others by {self._served!r}"
        self._served = found.served
        return ""

    def refused(self, request: Request, status: int, said: str, wait: float | None = None) -> Wrong | ModelError:
        """Return what a status means: for this request, or for all of them.

        Args:
            request: The one that was refused.
            status: As HTTP numbers them.
            said: The server's complaint.
            wait: Seconds that it wants to be left alone.
        """
        said = self.safe(f"HTTP {status}: {said}")
        fix = self.dialect.fix(request, status, said)
        if status == NO_KEY or (status in HOPELESS and not self._went_well):
            fix = fix or "check judge.model, judge.server.url and the key"
        if fix:
            return ModelError(f"the server refuses: {said}", where=f"{self.model} at {self.server.url}", fix=fix)
        return Wrong(said, status in AGAIN, status in OVERLOADED, wait=wait)

    def refusal(self, request: Request, error: Any) -> Exception:
        """Return what a status error of a provider's package means."""
        wait = seconds(error.response.headers.get("retry-after"))
        return self.refused(request, error.status_code, complaint(error), wait)

    def safe(self, text: str) -> str:
        """Return a text without the key, which some servers repeat, and without what no file can hold."""
        text = storable(text)
        return text.replace(self.key, "…") if len(self.key) > SHORTEST_KEY else text


@dataclass
class Question:
    """A request, from its first attempt to its answer.

    Attributes:
        request: The request.
        terms: On which it is asked.
        tokens: Of it, about.
        attempts: How often it was sent.
    """

    request: Request
    terms: Terms
    tokens: int = field(init=False)
    attempts: int = 0
    _begun: float = field(default_factory=time.perf_counter)
    _lost: float = 0.0
    _noted: float = 0.0
    _paid_again: int = 0
    _key: str = ""

    def __post_init__(self) -> None:
        self.tokens = tokens_of(self.request)

    @property
    def key(self) -> str:
        """Under which the answer is kept."""
        self._key = self._key or self.terms.key_of(self.request)
        return self._key

    def known(self) -> Completion | None:
        """Return what is known without asking: that it is too long, or an answer from before."""
        most, cache = self.terms.max_tokens, self.terms.cache
        if self.tokens > most:
            return Completion(tokens=self.tokens, failure=f"the request is longer than max_tokens ({most})")
        found = cache.find(self.key) if cache else None
        other = self.terms.other_model(found) if found else ""
        return Completion(attempts=0, cost=found.cost, key=found.key, failure=other) if found and other else found

    def sending(self) -> None:
        """Note what is about to be paid: a process that is killed before the answer comes has paid it all the same."""
        price = cost_of(self.terms.server, self.tokens, self.request.reply_tokens or 1)
        if price and self.terms.cache:
            self.terms.cache.pay(self.key, self.terms.payer, price)
            self._noted += price

    def billed(self, found: Completion) -> Bill:
        """Return what an answer costs, for the cache to note together with the answer."""
        cost = cost_of(self.terms.server, found.tokens, found.reply_tokens) or 0.0
        self._noted += cost
        return self.key, self.terms.payer, cost

    def answered(self, found: Completion, *, kept: bool = False, paid: bool = True) -> Completion:
        """Return an answer with what it took, and keep it.

        Args:
            found: What was read.
            kept: Whether it is kept already.
            paid: Whether this question pays for it; False where another one like it does.
        """
        if self.terms.cache and not kept:
            self.terms.cache.keep({self.key: found})
        cost = cost_of(self.terms.server, found.tokens, found.reply_tokens)
        return self._ended(found, cost if paid or cost is None else 0.0)

    def failed(self, wrong: Wrong) -> Completion | None:
        """Return the failure that it ends with; None where it is to be asked once more."""
        price = cost_of(self.terms.server, self.tokens, self.request.reply_tokens or 1)
        cost = price if wrong.paid else price and 0.0
        again = wrong.again and self.attempts < self.terms.server.attempts
        if again and wrong.paid and price:
            again = self.terms.allow(price)
            self._paid_again += again
        if again:
            self._lost += cost or 0.0
            if price and not wrong.paid and self.terms.cache:
                # Whoever is stopped before the next attempt does not come to say so.
                self.terms.cache.pay(self.key, self.terms.payer, -price)
                self._noted -= price
            return None
        tried = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return self._ended(Completion(tokens=self.tokens, failure=self.terms.safe(wrong.what) + tried), cost)

    def _ended(self, found: Completion, cost: float | None) -> Completion:
        cost = None if cost is None else cost + self._lost
        if self.terms.cache and (cost or self._noted):
            self.terms.cache.pay(self.key, self.terms.payer, (cost or 0.0) - self._noted)
            found = replace(found, key=self.key if cost else "")
        taken = time.perf_counter() - self._begun
        return replace(found, attempts=self.attempts, paid_again=self._paid_again, cost=cost, seconds=taken)


def pause(wrong: Wrong, attempt: int) -> float:
    """Return how long to wait before the next attempt; the pace waits where the server is overloaded and says so."""
    if wrong.overloaded and wrong.wait:
        return 0.0
    # Full jitter, so that those who failed together do not come back together.
    return max(wrong.wait or 0.0, random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)))


def unreadable(error: Exception) -> Wrong:
    """Return what an answer of an odd shape is."""
    return Wrong(f"the answer cannot be read: {str(error)[:EXCERPT]}", paid=True)


def complaint(error: Any) -> str:
    """Return a server's complaint, in one line, from the error of a provider's package."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else None
    what = inner.get("message") if isinstance(inner, dict) else None
    return " ".join(str(what or error.message).split())[:EXCERPT]


def seconds(header: str | None) -> float | None:
    """Read Retry-After: seconds; a date is taken for no word."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(header))) if header else None
    except ValueError:
        return None


def cost_of(server: ServerConfig, tokens: int, reply_tokens: int) -> float | None:
    """Return what tokens of a request and of a reply cost; None where the prices are not known."""
    if server.price_in is None or server.price_out is None:
        return None
    share = server.batch_discount if server.batch else 1.0
    return share * (tokens * server.price_in + reply_tokens * server.price_out) / 1e6


def tokens_of(request: Request) -> int:
    """Return about how many tokens a request has; only the server knows."""
    return tokens_in("".join(request.texts[:-1]))


def tokens_in(text: str) -> int:
    """Return about how many tokens a text has: four letters of English are one, a sign of another script is one."""
    # Sign by sign this took longer than all the rest of asking for an answer.
    others = 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
    return others + math.ceil((len(text) - others) / CHARACTERS_A_TOKEN)
