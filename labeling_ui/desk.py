"""The desk: hands items out and takes answers in, so that nobody gets too many and nothing is lost.

Each step is one transaction that begins with a lock: on SQLite there is one writer at a time (BEGIN
IMMEDIATE), on PostgreSQL the annotator's row and the item's row are locked, and items that somebody else
is taking are passed over (SKIP LOCKED). A process that is killed leaves either all of a step or nothing
of it; an item in the hands of somebody who went away comes back when its lease ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.answers import ANSWER
from labeling_ui.assignment import lease_seconds
from labeling_ui.closing import RELOAD, answerable, ask_again, circumstances
from labeling_ui.drafting import Until, taken_back, write_draft
from labeling_ui.expiring import expire
from labeling_ui.giving import Giving
from labeling_ui.leases import (
    IN_HAND,
    Lease,
    end,
    in_hand,
    lease_of,
    locked,
    select_leases,
    uses_slot,
)
from labeling_ui.people import Refused, active_person
from labeling_ui.qualification import settle_qualification
from labeling_ui.recording import AnyAnswer, Circumstances, Recorded, record
from labeling_ui.reviewing import Decision, LiveJudge, Opinion, Point, moved, require_decided
from labeling_ui.reviews import Reviews
from labeling_ui.steps import step_of
from labeling_ui.study import Study
from labeling_ui.subjects import load_subject
from labeling_ui.trail import note
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import items, leases
from rewardkit.store.rows import encode
from rewardkit.store.store import Store

RECENT = 200
LATEST = 10


@dataclass
class Desk:
    """The items of one study.

    Attributes:
        store: Where everything is.
        study: What is asked, and how items are handed out.
        clock: Seconds since 1970.
        judge: Asked while annotators wait, in a study whose reviews are live.
    """

    store: Store
    study: Study
    clock: Callable[[], float] = time.time
    judge: LiveJudge | None = None

    def __post_init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=RECENT)

    @property
    def typical_seconds(self) -> float | None:
        """Median time for a label lately; None where nothing is known."""
        return median(self._durations) if self._durations else None

    def next(self, person_id: str) -> Lease | None:
        """Return what the person has in hand, or give them the next item; None where nothing is left.

        Raises:
            Refused: The person is not known here, or paused.
        """
        expire(self.store, self.study.name, self.clock())
        with self.store.writing() as connection:
            person = active_person(connection, self.study.name, person_id)
            # Nothing else is locked here, so an item that somebody is about to take or to free can be waited for.
            return self._next(connection, person, wait=True)

    def submit(self, lease_id: str, person_id: str, answer: AnyAnswer) -> Recorded:
        """Take an answer in; it is in the store when this returns.

        Raises:
            Refused: See `submit_and_next`.
        """
        return self._submit(lease_id, person_id, answer, and_next=False)[0]

    def submit_and_next(self, lease_id: str, person_id: str, answer: AnyAnswer) -> Lease | None:
        """Take an answer in and give the next item, in one transaction.

        A lease that has ended still counts if nobody else has taken the item since.

        Raises:
            Refused: The lease is not this person's, was answered already, has ended and gone to somebody
                else, the answer came too fast, or it does not fit the item.
        """
        expire(self.store, self.study.name, self.clock())
        # Where others were taking what there is, it is asked for once more, and waited for.
        return self._submit(lease_id, person_id, answer, and_next=True)[1] or self.next(person_id)

    def revise(self, lease_id: str, person_id: str, answer: AnyAnswer) -> Recorded:
        """Replace one of the person's latest answers; the earlier one stays in the store, superseded.

        Raises:
            Refused: It is not among their latest answers, or does not fit the item.
        """
        with self.store.writing() as connection:
            person = active_person(connection, self.study.name, person_id)
            if lease_id not in [row.id for row in self._latest(connection, person_id)]:
                raise Refused(f"only the latest {LATEST} answers can be changed")
            lease = locked(connection, lease_id)
            assert lease is not None
            how = circumstances(self.study, lease, person, self.clock())
            recorded = self._record(connection, lease, answer, how)
            self._keep(connection, lease, answer, recorded, choice=recorded.choice)
            if uses_slot(lease):
                ask_again(connection, self.study, lease.item_id, recorded, before=ANSWER.validate_python(lease.answer))
            self._note(connection, "revised", person_id, lease=lease_id, records=sorted(recorded.ids.values()))
        return recorded

    def latest(self, person_id: str) -> list[Lease]:
        """Return the person's latest answers that can still be changed, the latest first."""
        with self.store.reading() as connection:
            return [lease_of(row) for row in self._latest(connection, person_id)]

    def reviewing(self, person_id: str) -> tuple[Lease, list[Point] | None] | None:
        """Return an answer that the person is to review now, with a judge's points; None where there is none.

        The points are None as long as the judge has not been asked.
        """
        if not self.reviews.judge:
            return None
        with self.store.reading() as connection:
            row = self.reviews.open_of(connection, person_id)
            return None if row is None else (lease_of(row), self.reviews.points(connection, row))

    def review(
        self, lease_id: str, person_id: str, answer: AnyAnswer, decisions: Mapping[str, Decision]
    ) -> Lease | None:
        """Keep what an annotator makes of a judge's points, beside their blind answer; give the next item.

        Raises:
            Refused: Nothing of the person is under review there, or a point is not decided.
        """
        with self.store.writing() as connection:
            person = active_person(connection, self.study.name, person_id)
            lease = locked(connection, lease_id)
            if lease is None or lease.person_id != person_id or lease.review != "open":
                raise Refused("there is nothing to review now", fix=RELOAD)
            opinion = self._decided(connection, lease, decisions)
            points = {name: said.model_dump(exclude_defaults=True) for name, said in decisions.items()}
            about = {"judge": self.reviews.judge, "points": points, "blind": lease.records}
            how = circumstances(self.study, lease, person, self.clock(), about=about)
            recorded = self._record(connection, lease, answer, how)
            # What was said blind stays there: it decides whether others are asked too, and agreement is measured on it.
            done = {"records": recorded.ids, "review": "done"}
            connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**done))
            about = moved(opinion, lease.choice, recorded.choice, decisions)
            self._note(
                connection, "reviewed", person_id, lease=lease_id, records=sorted(recorded.ids.values()), **about
            )
            return self._next(connection, person)

    def give_back(self, lease_id: str, person_id: str) -> None:
        """Return an item unanswered; it goes to somebody else, and not to this person again.

        Raises:
            Refused: The person does not have it in hand.
        """
        with self.store.writing() as connection:
            mine = select_leases(leases.c.id == lease_id, in_hand(person_id)).with_for_update(of=leases)
            found = connection.execute(mine).first()
            if found is None:
                raise Refused("this item is not in your hands", fix=RELOAD)
            if found.role == "qualification":
                raise Refused("items of the qualification cannot be skipped", fix="answer as well as you can")
            end(connection, found, "returned", self.clock())
            self._note(connection, "returned", person_id, lease=lease_id)

    def keep_draft(self, lease_id: str, person_id: str, draft: Mapping[str, Any]) -> None:
        """Keep an answer that is not finished, for a reload or a crash; who writes keeps the item meanwhile.

        Raises:
            Refused: The person is paused or does not have the item in hand, or the draft is not JSON.
        """
        try:
            kept = orjson.loads(orjson.dumps(draft))
        except orjson.JSONEncodeError as error:
            raise Refused(f"the draft cannot be kept ({error})", fix="remove the last signs that you wrote") from error
        until = Until(self.clock(), self._lasts(), self.study.config.assignment.longest_lease)
        with self.store.writing() as connection:
            active_person(connection, self.study.name, person_id)
            if not write_draft(connection, lease_id, person_id, kept, until):
                raise Refused("this item is not in your hands", fix=RELOAD)

    def _next(self, connection: Connection, person: Row[Any], *, wait: bool = False) -> Lease | None:
        if step_of(person.details, self.study) != "work":
            return None
        if self.reviews.open_of(connection, person.id) is not None:
            return None
        held = connection.execute(IN_HAND, {"person": person.id}).first()
        held = held or taken_back(connection, person.id, Until(self.clock(), self._lasts()))
        if held is not None:
            return lease_of(held)
        return Giving(connection, self.study, person, self.clock(), self.typical_seconds, wait).give()

    def _submit(
        self, lease_id: str, person_id: str, answer: AnyAnswer, *, and_next: bool
    ) -> tuple[Recorded, Lease | None]:
        try:
            with self.store.writing() as connection:
                person = active_person(connection, self.study.name, person_id)
                lease = answerable(connection, self.study, lease_id, person_id, self.clock())
                how = circumstances(self.study, lease, person, self.clock())
                recorded = self._record(connection, lease, answer, how)
                self._close(connection, lease, answer, recorded)
                if lease.role == "qualification":
                    settle_qualification(connection, self.study, person)
                    person = active_person(connection, self.study.name, person_id)
                return recorded, self._next(connection, person) if and_next else None
        except Refused as refused:
            # In a transaction of its own: the refused one is undone, and the refusal must leave its trace.
            with self.store.writing() as connection:
                self._note(connection, "refused", person_id, lease=lease_id[:64], why=refused.what)
            raise

    def _decided(self, connection: Connection, lease: Row[Any], decisions: Mapping[str, Decision]) -> Opinion:
        """Return what the judge said, all of which is decided."""
        opinion = self.reviews.opinion(connection, lease)
        if opinion is None:
            raise Refused("the model has not answered yet", fix=RELOAD)
        try:
            require_decided(self.reviews.points_of(connection, lease, opinion), decisions)
        except ValueError as error:
            raise Refused(str(error), fix="decide each point") from error
        return opinion

    def _lasts(self) -> float:
        """Return how long a lease lasts that is given now."""
        return lease_seconds(self.typical_seconds, self.study.config.assignment)

    @property
    def reviews(self) -> Reviews:
        """The study's assisted reviews."""
        return Reviews(self.study.config.review, self.judge)

    def _record(self, connection: Connection, lease: Row[Any], answer: AnyAnswer, how: Circumstances) -> Recorded:
        """Store what an answer says."""
        try:
            if answer.task != lease.task:
                raise ValueError(f"a {lease.task} is asked for")
            recorded = record(answer, load_subject(connection, lease.responses), self.study.criteria, how)
        except ValueError as error:
            raise Refused(f"the answer does not fit the item: {error}", fix=RELOAD) from error
        insert(connection, map(encode, recorded.records))
        return recorded

    def _close(self, connection: Connection, lease: Row[Any], answer: AnyAnswer, recorded: Recorded) -> None:
        now = self.clock()
        review = "open" if self.reviews.begins(connection, lease) else None
        choice = {"choice": recorded.choice, "review": review}
        self._keep(connection, lease, answer, recorded, state="done", closed_at=now, draft=None, **choice)
        if uses_slot(lease):
            ask_again(connection, self.study, lease.item_id, recorded)
        self._durations.append(now - lease.leased_at)
        self._note(connection, "answered", lease.person_id, lease=lease.id, records=sorted(recorded.ids.values()))

    def _keep(
        self, connection: Connection, lease: Row[Any], answer: AnyAnswer, recorded: Recorded, **more: Any
    ) -> None:
        said = {"answer": answer.model_dump(mode="json"), "records": recorded.ids}
        connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**said, **more))

    def _latest(self, connection: Connection, person_id: str) -> Sequence[Row[Any]]:
        # A review has an answer of its own, and a qualification is over with its last item.
        open_to_change = leases.c.review.is_(None) & (items.c.role != "qualification")
        mine = select_leases(leases.c.person_id == person_id, leases.c.state == "done", open_to_change)
        return connection.execute(mine.order_by(leases.c.closed_at.desc(), leases.c.id).limit(LATEST)).all()

    def _note(self, connection: Connection, kind: str, person_id: str, **details: Any) -> None:
        note(connection, kind, study=self.study.name, at=self.clock(), person_id=person_id, **details)
