"""The line in which texts wait for the model, and never more than may wait.

Whoever waited longest is in the next pass; the rest of it are those that share most with it, who may so come earlier.

What counts are the tokens of the requests that were let in and are not answered yet. Requests come and go on the
server's own thread; the worker takes texts on its thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition

from rewardkit.serving.engine import Reading
from rewardkit.serving.refusals import Refusal

FIRST_RATE = 1000.0
"""Tokens a second that a model is taken to read before it was measured."""
MEMORY = 0.9
"""Of what was measured before, the share that counts after each further measurement."""
MOST_SEEN = 256
"""Texts from the front of the line among which is chosen what is read beside the first."""
Choose = Callable[[Sequence[list[int]]], Sequence[int]]
"""Of sequences, says which are read in one pass, as places; the first is always among them."""
Answer = Reading | str
"""What the model says of a text, or why it says nothing."""


@dataclass(eq=False)
class Request:
    """The texts of one request.

    Attributes:
        answers: What is said of each text, or the reason why there is none.
        left: How many are not there yet.
        future: Has all of them in the end.
    """

    answers: list[Answer]
    left: int
    future: Future[list[Answer]] = field(default_factory=Future)

    def answer(self, place: int, answer: Answer) -> None:
        """Keep the answer to one text, and hand all of them over after the last."""
        self.answers[place] = answer
        self.left -= 1
        if not self.left:
            _settle(self.future, self.answers)


@dataclass(frozen=True, eq=False)
class Text:
    """One text that waits.

    Attributes:
        ids: Its tokens.
        request: To which it belongs.
        place: Which of the request's it is.
    """

    ids: list[int]
    request: Request
    place: int

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return not self.request.future.done()

    def answer(self, answer: Answer) -> None:
        """Hand over its reward, or the reason why there is none."""
        self.request.answer(self.place, answer)


@dataclass
class Place:
    """Room for a request in the line, in tokens: a guess until the texts are encoded."""

    tokens: int


class Line:
    """Texts that wait.

    Args:
        most: Tokens that may wait.
    """

    def __init__(self, most: int) -> None:
        self.most, self.tokens = most, 0
        self._texts: deque[Text] = deque()
        self._requests: set[Request] = set()
        self._changed = Condition()
        self._closed = ""
        self._read, self._seconds = 0.0, 0.0

    @property
    def rate(self) -> float:
        """Tokens a second that the model reads, by the latest passes."""
        return self._read / self._seconds if self._seconds else FIRST_RATE

    def measured(self, tokens: int, seconds: float) -> None:
        """Count a forward pass into the rate."""
        self._read = MEMORY * self._read + tokens
        self._seconds = MEMORY * self._seconds + seconds

    @contextmanager
    def place(self, guess: int) -> Iterator[Place]:
        """Hold a place in the line for a request, until it is answered or gone.

        Args:
            guess: Its tokens.

        Raises:
            Refusal: The line is full, or closed.
        """
        self._check_open()
        self._check_room(self.tokens, guess)
        held = Place(guess)
        self.tokens += guess
        try:
            yield held
        finally:
            self.tokens -= held.tokens

    def put(self, held: Place, sequences: Sequence[list[int]]) -> Future[list[Answer]]:
        """Put a request's texts at the end of the line.

        Returns:
            Their rewards in the same order, each or the reason why there is none.

        Raises:
            Refusal: They are more tokens than may ever wait, others wait and both are too many, or the line is closed.
        """
        tokens = sum(map(len, sequences))
        self.check_size(tokens)
        self._check_room(self.tokens - held.tokens, tokens)
        self.tokens += tokens - held.tokens
        held.tokens = tokens
        request = Request([""] * len(sequences), len(sequences))
        with self._changed:
            self._check_open()
            self._requests.add(request)
            request.future.add_done_callback(lambda _: self._done(request))
            self._texts.extend(Text(ids, request, place) for place, ids in enumerate(sequences))
            self._changed.notify()
        if not sequences:
            _settle(request.future, [])
        return request.future

    def take(self, choose: Choose) -> list[Text] | None:
        """Wait for texts, and take the one that waited longest with those that are chosen to be read beside it.

        Returns:
            The texts; None once the line is closed.
        """
        taken: list[Text] = []
        while not taken:
            with self._changed:
                while not self._texts:
                    if self._closed:
                        return None
                    self._changed.wait()
                seen = list(islice(self._texts, MOST_SEEN))
            # Not while requests that come and go would have to wait for it.
            chosen = [seen[place] for place in sorted(choose([text.ids for text in seen]))]
            with self._changed:
                standing = set(self._texts)
                taken = [text for text in chosen if text in standing]
                gone = set(taken)
                self._texts = deque(text for text in self._texts if text not in gone)
        return taken

    def close(self, why: str) -> None:
        """Refuse whoever comes, and whoever is not answered yet."""
        with self._changed:
            self._closed = self._closed or why
            self._texts.clear()
            self._changed.notify()
            waiting = list(self._requests)
        for request in waiting:
            try:
                request.future.set_exception(Refusal(503, self._closed))
            except InvalidStateError:
                continue  # Answered, or its client left, at this very moment.

    def _done(self, request: Request) -> None:
        """Forget a request that is answered, or whose client left: what still stands in the line goes at once."""
        with self._changed:
            self._requests.discard(request)
            if request.future.cancelled():
                self._texts = deque(text for text in self._texts if text.request is not request)

    def check_size(self, tokens: int) -> None:
        """Check that a request could ever wait.

        Raises:
            Refusal: It is more tokens than may wait.
        """
        if tokens > self.most:
            raise Refusal(
                413, f"the request has {tokens:,} tokens or more and {self.most:,} may wait: send fewer texts at a time"
            )

    def _check_room(self, others: int, tokens: int) -> None:
        # Whoever comes when nobody waits is let in: a guess must not keep anybody out for good.
        if others and others + tokens > self.most:
            raise Refusal(
                429,
                f"{others:,} tokens wait already, of {self.most:,} that may",
                retry_after=(others + tokens - self.most) / self.rate,
            )

    def _check_open(self) -> None:
        if self._closed:
            raise Refusal(503, self._closed)


def _settle(future: Future[list[Answer]], answers: list[Answer]) -> None:
    try:
        future.set_result(answers)
    except InvalidStateError:
        # Its client left at this very moment.
        return
