"""Requests in a provider's batches: cheaper, and within a day. Each round of a talk with many steps is a batch.

A batch is noted in the cache, by what it asks, as soon as the provider has taken it: whoever comes back after a kill
waits for it and sends nothing twice. (A kill between the provider's taking it and its answer reaching this process, a
moment of the network's, leaves a batch that nobody knows.) What a batch brings becomes answers in the same way as
what is sent one by one, and is kept in the same cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from rewardkit.errors import ModelError
from rewardkit.judge.attempts import UNREADABLE, Question, Terms, Wrong, complaint, pause, unreadable
from rewardkit.judge.batch_posts import Post, Result, Stand
from rewardkit.judge.batch_room import Room, no_room, refusal, unreachable, unsure
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Completion, Request
from rewardkit.progress import log

MOST_REQUESTS = 10_000
MOST_CHARACTERS = 60_000_000
"""Of the requests in one batch: far below what providers take, so that a prompt in another script fits too."""
MOST_UNDER_WAY = 4
FIRST_LOOK, GROWTH = 1.0, 1.5
FORBIDDEN = 403
T = TypeVar("T")
Answers = list[tuple[int, Completion]]


@dataclass(frozen=True)
class Asker:
    """Who waits for an answer.

    Attributes:
        number: Of the request in the stream.
        question: Its life.
    """

    number: int
    question: Question


@dataclass
class Batches:
    """Batches under way with one provider.

    Attributes:
        client: Of the provider's package.
        terms: On which requests are sent.
        post: How the provider takes batches.
        cache: Where answers are kept, and which batches were sent.
        under_way: Who waits for what, by batch and by key.
        again: Who is to be asked once more.
        room: What the provider had no room for.
    """

    client: Any
    terms: Terms
    post: Post
    cache: AnswerCache
    under_way: dict[str, dict[str, list[Asker]]] = field(default_factory=dict)
    again: list[Asker] = field(default_factory=list)
    room: Room[list[Asker]] = field(init=False)
    _told: dict[str, Stand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.room = Room(self.terms.server.batch_seconds)

    async def send(self, askers: Iterable[Asker]) -> None:
        """Send what nobody has sent yet, as one batch; wait for the batches in which the others are.

        Raises:
            ModelError: The provider refuses the key, the model or the batch.
            JobFailed: It cannot be reached, or does not say whether it took the batch.
        """
        fresh: dict[str, list[Asker]] = {}
        for asker in askers:
            asker.question.attempts += 1
            key = asker.question.key
            sent = self.cache.batch_of(key)
            waiting = fresh if sent is None else self.under_way.setdefault(sent, {})
            waiting.setdefault(key, []).append(asker)
        if fresh:
            await self._sent(fresh)

    async def ended(self) -> Answers:
        """Wait until a batch has ended, and return its answers; looks at them grow rarer.

        Raises:
            ModelError: No request can be answered like this.
            JobFailed: The provider cannot be reached, or has no room.
        """
        longest = self.terms.server.batch_seconds
        wait, missed = min(FIRST_LOOK, longest), 0
        while True:
            if (waiting := self.room.due()) is not None:
                await self._sent(waiting)
            for batch in list(self.under_way):
                try:
                    stand = await self._looked(batch)
                    if stand is not None and stand.refused:
                        self._put_back(batch, stand)
                    elif stand is None or stand.ended:
                        return await self._taken(batch, known=stand is not None)
                    missed = 0
                except Wrong as wrong:
                    missed += 1
                    if missed >= self.terms.server.attempts:
                        raise unreachable(self.terms.safe(wrong.what)) from wrong
            await asyncio.sleep(wait)
            wait = min(longest, wait * GROWTH)

    async def _sent(self, fresh: dict[str, list[Asker]]) -> None:
        """Send a batch."""
        requests = {key: who[0].question.request for key, who in fresh.items()}
        bodies = {key: self.terms.dialect.body(request) for key, request in requests.items()}
        first = next(iter(requests.values()))
        brought = await self._patiently(lambda: self.post.put(self.client, bodies), first)
        batch = await self._patiently(lambda: self.post.send(self.client, brought), first, once=True)
        self.cache.sent(batch, fresh)
        self.under_way[batch] = fresh
        log(f"judge: batch {batch}: {len(fresh)} requests sent")

    def _put_back(self, batch: str, stand: Stand) -> None:
        """Forget a batch that the provider refuses as a whole; what it has no room for is sent again later."""
        self.cache.forget(batch)
        waiting, said = self.under_way.pop(batch), self.terms.safe(stand.refused)
        alone = not self.under_way
        if not stand.crowded:
            raise refusal(said, batch)
        if alone and self.room.refused >= self.terms.server.attempts:
            raise no_room(said)
        seconds = self.room.hold(waiting, alone=alone)
        log(f"judge: batch {batch}: no room for it ({said}); sent again in {seconds:g} seconds")

    async def _patiently(self, call: Callable[[], Awaitable[T]], request: Request, *, once: bool = False) -> T:
        """Ask the provider for something until it does it.

        Args:
            call: Asks.
            request: For the sake of which.
            once: Whether it must not be done twice: then it is asked for again only where it surely was not done.
        """
        for attempt in count(1):
            try:
                return await self._asked(call, request)
            except Wrong as wrong:
                if once and (wrong.paid or not wrong.overloaded):
                    raise unsure(self.terms.safe(wrong.what)) from wrong
                if attempt >= self.terms.server.attempts:
                    raise unreachable(self.terms.safe(wrong.what)) from wrong
                await asyncio.sleep(max(wrong.wait or 0.0, pause(wrong, attempt)))
        raise AssertionError("unreachable: the last attempt raises")

    async def _looked(self, batch: str) -> Stand | None:
        """Return how far a batch is, and say it where it went on; None where the provider knows it no more."""
        try:
            stand = await self._asked(lambda: self.post.look(self.client, batch))
        except _Gone:
            return None
        if not stand.refused and stand != self._told.get(batch):
            self._told[batch] = stand
            log(f"judge: batch {batch}: {stand.done} of {stand.total} done")
        return stand

    async def _taken(self, batch: str, *, known: bool) -> Answers:
        """Turn what a batch brought into answers; all of them are kept before anybody reads one, or an error ends it.

        Raises:
            ModelError: One of them says that no request can be answered like this.
        """
        waiting = self.under_way[batch]
        results = {result.key: result for result in await self._results(batch)} if known else {}
        # Answers first, in whatever order they come: what a refusal means depends on whether others went well.
        order = sorted(waiting, key=lambda key: key not in results or results[key].answer is None)
        read = {key: self._read(results.get(key), waiting[key][0].question.request) for key in order}
        good = {key: found for key, found in read.items() if isinstance(found, Completion)}
        self.cache.taken(batch, waiting, good, [waiting[key][0].question.billed(found) for key, found in good.items()])
        self.room.refused = 0
        del self.under_way[batch]
        told: Answers = []
        # All of them, before an error ends it: what was paid is noted as they are told.
        for key, who in waiting.items():
            if not isinstance(found := read[key], ModelError):
                told += self._told_to(who, found)
        for found in read.values():
            if isinstance(found, ModelError):
                raise found
        return told

    async def _results(self, batch: str) -> list[Result]:
        async def all_of() -> list[Result]:
            return [result async for result in self.post.take(self.client, batch)]

        try:
            return await self._asked(all_of)
        except _Gone:
            return []

    def _read(self, result: Result | None, request: Request) -> Completion | Wrong | ModelError:
        """Return what a result says, or why it says nothing: to this request, or to any."""
        try:
            if result is None:
                return Wrong("the batch brought no answer")
            if result.answer is not None:
                return self.terms.read(request, result.answer)
            if not result.status:
                return Wrong(f"the batch ended before it was answered: {result.said}")
            if result.status == FORBIDDEN:
                # The provider took the batch: what it forbids is what this row says.
                return Wrong(self.terms.safe(f"HTTP {FORBIDDEN}: {result.said}"), again=False)
            return self.terms.refused(request, result.status, result.said)
        except (Wrong, ModelError) as wrong:
            return wrong

    def _told_to(self, askers: list[Asker], read: Completion | Wrong) -> Answers:
        """Answer all who asked the same; it was paid for once."""
        told: Answers = []
        for place, asker in enumerate(askers):
            if isinstance(read, Completion):
                told.append((asker.number, asker.question.answered(read, kept=True, paid=place == 0)))
            elif (ended := asker.question.failed(read)) is not None:
                told.append((asker.number, ended))
            else:
                self.again.append(asker)
        return told

    async def _asked(self, call: Callable[[], Awaitable[T]], request: Request | None = None) -> T:
        """Ask the provider, and turn what its package raises into what it means."""
        sdk = self.terms.dialect.sdk
        try:
            return await call()
        except sdk.NotFoundError as error:
            if request is None:
                raise _Gone from error
            raise self.terms.refusal(request, error) from error
        except sdk.APIStatusError as error:
            found = self.terms.refusal(request or Request("", "", "", ()), error)
            if isinstance(found, Wrong) and not found.again:
                where = f"{self.terms.model} at {self.terms.server.url}"
                raise refusal(self.terms.safe(complaint(error)), where) from error
            raise found from error
        except sdk.APIConnectionError as error:
            raise Wrong(f"the server cannot be reached: {error.__cause__ or error}", paid=True) from error
        except (sdk.APIError, *UNREADABLE) as error:
            raise unreadable(error) from error


class _Gone(Exception):
    """A batch that the provider does not know any more."""


def in_batches(
    requests: Iterable[Request | None], batches: Batches, run: Callable[[Any], Any]
) -> Generator[tuple[int, Completion], None, None]:
    """Answer requests by batches: as many as can be asked without an answer go together; see `Streaming`.

    Args:
        requests: The requests, and None where there is none before another answer was read.
        batches: Where they go.
        run: Waits for what is under way.
    """
    source, numbers, more = iter(requests), count(), True
    while more or batches.under_way or batches.again or batches.room:
        chunk, batches.again = batches.again, []
        size = sum(_size(asker.question.request) for asker in chunk)
        # What there is no room for goes first.
        while more and not batches.room and len(chunk) < MOST_REQUESTS and size < MOST_CHARACTERS:
            try:
                request = next(source)
            except StopIteration:
                more = False
                break
            if request is None:
                break
            asker = Asker(next(numbers), Question(request, batches.terms))
            if (known := asker.question.known()) is not None:
                yield asker.number, known
                continue
            chunk.append(asker)
            size += _size(request)
        if chunk:
            run(batches.send(chunk))
        full = len(chunk) >= MOST_REQUESTS or size >= MOST_CHARACTERS
        if (batches.under_way or batches.room) and not (full and len(batches.under_way) < MOST_UNDER_WAY):
            yield from run(batches.ended())


def _size(request: Request) -> int:
    return sum(map(len, request.texts))
