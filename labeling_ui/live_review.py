"""A judge that is asked while an annotator waits: its words are streamed, its labels stored, its points decided.

Nothing of it is asked twice: what the judge said of a comparison stays, for whoever reviews it next. A judge that
fails is a failed label with the reason, and costs the annotator nothing: their blind answer stands, and they go on.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated
from weakref import WeakValueDictionary

import sqlalchemy as sa
from fastapi import APIRouter, Body, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from labeling_ui.api import Api, LeaseId
from labeling_ui.chatting import ChatFailed
from labeling_ui.closing import RELOAD
from labeling_ui.desk import Desk
from labeling_ui.leases import locked
from labeling_ui.people import Refused, active_person
from labeling_ui.reviewing import LiveJudge, Opinion
from labeling_ui.streaming import LINES, UNBUFFERED, LineStream
from labeling_ui.subjects import Subject, load_subject
from labeling_ui.trail import note
from rewardkit.label_config import LiveJudgeConfig
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import leases
from rewardkit.store.rows import encode
from rewardkit.types import Order

NOTHING = "The model gave no answer this time; yours is saved."


@dataclass(frozen=True)
class Asked:
    """What a judge is asked.

    Attributes:
        subject: A comparison.
        order: In which the annotator sees it.
    """

    subject: Subject
    order: Order

    @property
    def key(self) -> tuple[str, ...]:
        """The same for everybody who waits for a word on this comparison."""
        return tuple(each.id for each in self.subject.responses)


def to_ask(desk: Desk, lease_id: str, person_id: str) -> Asked | None:
    """Return what the judge is asked for somebody's review; None where it has answered already.

    Raises:
        Refused: The person has nothing to review there, or is paused.
    """
    with desk.store.reading() as connection:
        active_person(connection, desk.study.name, person_id)
        lease = desk.reviews.open_of(connection, person_id)
        if lease is None or lease.id != lease_id:
            raise Refused("there is nothing to review now", fix=RELOAD)
        if desk.reviews.opinion(connection, lease) is not None:
            return None
        return Asked(load_subject(connection, lease.responses), "ab" if lease.order_shown == "01" else "ba")


def hear(desk: Desk, judge: LiveJudge, lease_id: str, opinion: Opinion) -> bool:
    """Store what a judge said; where that is nothing, the review is over. Returns whether it said something."""
    useful = any(label.status == "ok" for label in opinion.labels)
    with desk.store.writing() as connection:
        lease = locked(connection, lease_id)
        insert(connection, map(encode, (judge.annotator, *opinion.labels, *opinion.ratings)))
        if lease is None or lease.review != "open" or useful:
            return useful
        connection.execute(sa.update(leases).where(leases.c.id == lease_id).values(review=None))
        why = "; ".join(label.reason for label in opinion.labels)
        about = {"study": desk.study.name, "at": desk.clock(), "person_id": lease.person_id}
        note(connection, "review failed", **about, lease=lease_id, why=why)
    return False


@dataclass(frozen=True)
class LiveReview:
    """Asks the judge of one study.

    Attributes:
        api: Tells who asks.
        judge: Who is asked.
        config: How long that may take, and for how many at the same time.
    """

    api: Api
    judge: LiveJudge
    config: LiveJudgeConfig
    _locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # A model here has one conversation at a time: whoever waits in it would use up the time for an answer.
        object.__setattr__(self, "room", asyncio.Semaphore(self.config.streams if self.config.url else 1))

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/api/review")
        router.add_api_route("/points", self.points, methods=["POST"], response_model=None)
        return router

    async def points(self, request: Request, lease: Annotated[LeaseId, Body(embed=True)]) -> StreamingResponse:
        """Stream what the judge says; the last line is where the annotator stands then."""
        stream = _Listening(self, lease, self.api.changing(request))
        return StreamingResponse(stream.lines(), media_type=LINES, headers=UNBUFFERED)

    def alone(self, *key: str) -> asyncio.Lock:
        """Return a lock that whoever asks about the same comparison, or for the same person, has to take."""
        return self._locks.setdefault(key, asyncio.Lock())


@dataclass(eq=False)
class _Listening(LineStream):
    """Somebody who waits for a judge's words."""

    review: LiveReview
    lease_id: str
    person_id: str

    async def work(self) -> None:
        try:
            said = "" if await self._heard() else NOTHING
            turn = await run_in_threadpool(self.review.api.turns.turn, self.person_id)
            self.tell({"turn": turn, "said": said})
        except Refused as refused:
            self.tell({"problem": refused.what, "fix": refused.fix})

    async def _heard(self) -> bool:
        """Ask the judge, unless it has answered already; return whether there is something to review."""
        desk = self.review.api.turns.desk
        asked = await run_in_threadpool(to_ask, desk, self.lease_id, self.person_id)
        if asked is None:
            return True
        # However many windows somebody opens, they have one conversation under way.
        async with self.review.alone(self.person_id), self.review.alone(*asked.key), self.review.room:
            # Somebody else may have waited for the same words.
            if await run_in_threadpool(to_ask, desk, self.lease_id, self.person_id) is None:
                return True
            try:
                opinion = await self._opinion(asked)
            except Exception as error:
                # Nobody foresaw it, and nobody may be held up by it.
                why = f"{type(error).__name__}: {error}"
                await self._hear(self.review.judge.failed(asked.subject, asked.order, why))
                raise
            return await self._hear(opinion)

    async def _hear(self, opinion: Opinion) -> bool:
        """Store what was said, to the end: whoever comes next must find it, even if nobody listens here any more."""
        desk, judge = self.review.api.turns.desk, self.review.judge
        hearing = asyncio.create_task(run_in_threadpool(hear, desk, judge, self.lease_id, opinion))
        try:
            return await asyncio.shield(hearing)
        finally:
            await asyncio.wait([hearing])

    async def _opinion(self, asked: Asked) -> Opinion:
        """Pass the judge's words on while they come, and return what it said before it ended, well or not."""
        judge, why = self.review.judge, "it ended without an answer"
        opinion: Opinion | None = None
        try:
            async with (
                asyncio.timeout(self.review.config.seconds),
                aclosing(judge.opinion(asked.subject, asked.order)) as coming,
            ):
                async for each in coming:
                    if isinstance(each, Opinion):
                        opinion = each
                    elif not each.thought:
                        self.tell({"part": each.part, "text": each.text})
        except TimeoutError:
            why = "no whole answer in time"
        except ChatFailed as failed:
            why = failed.why
        return opinion or judge.failed(asked.subject, asked.order, why)
