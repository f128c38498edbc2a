"""The desk: hands items out and takes answers in, so that nobody gets too many and nothing is lost.

Each step is one transaction that begins with a lock: on SQLite there is one writer at a time (BEGIN
IMMEDIATE), on PostgreSQL the annotator's row and the item's row are locked, and items that somebody else
is taking are passed over (SKIP LOCKED). A process that is killed leaves either all of a step or nothing
of it; an item in the hands of somebody who went away comes back when its lease ends.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.answers import Answer, to_label
from labeling_ui.assignment import (
    Policy,
    Standing,
    chances,
    draw,
    lease_seconds,
    order_shown,
    unit_number,
    wants_another,
)
from labeling_ui.candidates import Candidates, ItemRole
from labeling_ui.leases import (
    Lease,
    due,
    end,
    in_hand,
    insert_new,
    lease_of,
    locked,
    row_of,
    select_leases,
    take_again,
    take_slot,
    uses_slot,
)
from labeling_ui.people import Refused, active_person
from labeling_ui.trail import note
from rewardkit.store.labelling_tables import items, leases
from rewardkit.store.rows import encode
from rewardkit.store.store import Store, insert
from rewardkit.store.tables import labels
from rewardkit.types import Choice, Label, Order, content_id

RECENT = 200


@dataclass
class Desk:
    """The items of one study.

    Attributes:
        store: Where everything is.
        study: Its name.
        policy: How items are handed out.
        least_seconds: An answer that comes faster was not thought about, and is refused.
        guideline_version: Of the guidelines that annotators read now.
        clock: Seconds since 1970.
    """

    store: Store
    study: str
    policy: Policy = field(default_factory=Policy)
    least_seconds: float = 0.0
    guideline_version: str | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=RECENT)

    def add_items(
        self,
        comparison_ids: Iterable[str],
        *,
        role: ItemRole = "work",
        expected: Mapping[str, Choice] | None = None,
        priority: int = 0,
    ) -> int:
        """Add comparisons to be labelled; those that the study has in this role stay as they are.

        Args:
            comparison_ids: Of comparisons in the store.
            role: What they are for.
            expected: The right choice of each, for gold and qualification.
            priority: Smaller numbers come first.

        Returns:
            How many were added.
        """
        # What has a right answer is for everybody: its one slot is never used up.
        wanted = self.policy.overlap if role == "work" else 1
        rows = [
            {
                "id": content_id("item", self.study, role, comparison),
                "study": self.study,
                "comparison_id": comparison,
                "role": role,
                "expected": (expected or {}).get(comparison),
                "priority": priority,
                "position": int(content_id("position", self.study, comparison)[:12], 16),
                "wanted": wanted,
                "slots": wanted,
            }
            for comparison in comparison_ids
        ]
        with self.store.writing() as connection:
            return sum(insert_new(connection, items, rows[at : at + 100]) for at in range(0, len(rows), 100))

    def next(self, person_id: str) -> Lease | None:
        """Return what the person has in hand, or give them the next item; None where nothing is left.

        Raises:
            Refused: The person is not known here, or paused.
        """
        now = self.clock()
        with self.store.writing() as connection:
            person = active_person(connection, self.study, person_id)
            self._expire(connection, now)
            held = connection.execute(select_leases(in_hand(person_id))).first()
            if held is not None:
                return lease_of(held)
            return self._give(connection, person, now)

    def submit(self, lease_id: str, person_id: str, answer: Answer) -> Label:
        """Take an answer in; it is in the store when this returns.

        A lease that has ended still counts if nobody else has taken the item since.

        Raises:
            Refused: The lease is not this person's, was answered already, has ended and gone to somebody
                else, or the answer came too fast.
        """
        now = self.clock()
        with self.store.writing() as connection:
            person = active_person(connection, self.study, person_id)
            lease = locked(connection, lease_id)
            if lease is None or lease.person_id != person_id:
                problem = "this item was not given to you"
            elif not (problem := self._problem(connection, lease, now)):
                label = self._label(lease, person, answer, now)
                self._close(connection, lease, label, now)
                self._durations.append(now - lease.leased_at)
                return label
            # Committed before it is raised: a refusal must leave its trace.
            self._note(connection, "refused", person_id, lease=lease_id[:64], why=problem)
        raise Refused(problem, fix="reload the page; the next item is waiting there")

    def revise(self, lease_id: str, person_id: str, answer: Answer, *, latest: int = 10) -> Label:
        """Replace one of the person's latest answers; the earlier one stays in the store, superseded.

        Raises:
            Refused: It is not among their latest answers.
        """
        now = self.clock()
        with self.store.writing() as connection:
            person = active_person(connection, self.study, person_id)
            done = sa.select(leases.c.id).where(leases.c.person_id == person_id, leases.c.state == "done")
            recent = connection.execute(done.order_by(leases.c.closed_at.desc()).limit(latest)).scalars().all()
            if lease_id not in recent:
                raise Refused(f"only the latest {latest} answers can be changed")
            lease = locked(connection, lease_id)
            assert lease is not None
            label = self._label(lease, person, answer, now, supersedes=lease.label_id)
            insert(connection, [encode(label)])
            connection.execute(sa.update(leases).where(leases.c.id == lease_id).values(label_id=label.id))
            self._note(connection, "revised", person_id, lease=lease_id, label=label.id)
        return label

    def give_back(self, lease_id: str, person_id: str) -> None:
        """Return an item unanswered; it goes to somebody else, and not to this person again.

        Raises:
            Refused: The person does not have it in hand.
        """
        with self.store.writing() as connection:
            mine = select_leases(leases.c.id == lease_id, in_hand(person_id)).with_for_update(of=leases)
            found = connection.execute(mine).first()
            if found is None:
                raise Refused("this item is not in your hands")
            end(connection, found, "returned", self.clock())
            self._note(connection, "returned", person_id, lease=lease_id)

    def keep_draft(self, lease_id: str, person_id: str, draft: Mapping[str, Any]) -> None:
        """Keep an answer that is not finished, for a reload or a crash.

        Raises:
            Refused: The person does not have the item in hand.
        """
        mine = sa.update(leases).where(leases.c.id == lease_id, in_hand(person_id)).values(draft=dict(draft))
        with self.store.writing() as connection:
            if not connection.execute(mine).rowcount:
                raise Refused("this item is not in your hands")

    def _expire(self, connection: Connection, now: float) -> None:
        for lease in due(connection, now):
            end(connection, lease, "expired", now)
            self._note(connection, "expired", lease.person_id, lease=lease.id)

    def _give(self, connection: Connection, person: Row[Any], now: float) -> Lease | None:
        turns = connection.execute(
            sa.select(sa.func.count()).select_from(leases).where(leases.c.person_id == person.id)
        ).scalar_one()
        open_to = Candidates(connection, self.study, person.id, self.policy).of_routes()
        standing = Standing(turns, **{route: bool(found) for route, found in open_to.items()})
        chance = chances(standing, self.policy)
        route = draw(chance, unit_number("route", self.study, person.id, str(turns)))
        if route is None:
            return None
        candidates = open_to[route]
        first = int(unit_number("item", self.study, person.id, str(turns)) * len(candidates))
        for candidate in (*candidates[first:], *candidates[:first]):
            if route != "work" or take_slot(connection, candidate.id):
                given = self._lease(person, candidate, int(route == "repeat"), chance[route] / len(candidates), now)
                connection.execute(sa.insert(leases).values(row_of(given, person.id)))
                return given
        return None

    def _lease(self, person: Row[Any], item: Row[Any], repeat: int, probability: float, now: float) -> Lease:
        typical = median(self._durations) if self._durations else None
        return Lease(
            id=secrets.token_urlsafe(18),
            item_id=item.id,
            comparison_id=item.comparison_id,
            order=order_shown(item.id, person.annotator_id, repeat),
            repeat=repeat,
            sampling_prob=probability,
            leased_at=now,
            expires_at=now + lease_seconds(typical, self.policy),
        )

    def _problem(self, connection: Connection, lease: Row[Any], now: float) -> str:
        """Say why an answer is not taken; nothing where it is."""
        if lease.state == "done":
            return "this item is answered already"
        if now - lease.leased_at < self.least_seconds:
            return "that was too fast to have read both responses"
        if lease.state == "open":
            return ""
        return "" if take_again(connection, lease) else "your time for this item was over, and it went to others"

    def _label(
        self, lease: Row[Any], person: Row[Any], answer: Answer, now: float, *, supersedes: str | None = None
    ) -> Label:
        return to_label(
            answer,
            comparison_id=lease.comparison_id,
            annotator_id=person.annotator_id,
            order=cast(Order, lease.order_shown),
            repeat=lease.repeat,
            sampling_prob=lease.sampling_prob,
            seconds=now - lease.leased_at,
            at=now,
            guideline_version=self.guideline_version,
            lease_id=lease.id,
            supersedes=supersedes,
        )

    def _close(self, connection: Connection, lease: Row[Any], label: Label, now: float) -> None:
        insert(connection, [encode(label)])
        done = {"state": "done", "closed_at": now, "label_id": label.id, "draft": None}
        connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**done))
        if uses_slot(lease):
            self._ask_again(connection, lease, label)
        self._note(connection, "answered", lease.person_id, lease=lease.id, label=label.id)

    def _ask_again(self, connection: Connection, lease: Row[Any], label: Label) -> None:
        """Open a further slot for a comparison that could not be judged, or that annotators disagree on."""
        item = connection.execute(sa.select(items).where(items.c.id == lease.item_id).with_for_update()).one()
        answers = sa.select(labels.c.choice).join_from(leases, labels, leases.c.label_id == labels.c.id)
        answers = answers.where(labels.c.comparison_id == item.comparison_id)
        mine = answers.where(leases.c.item_id == item.id, leases.c.state == "done", leases.c.repeat == 0)
        choices = [choice for choice in connection.execute(mine).scalars() if choice]
        if label.choice is None:
            more = {"slots": items.c.slots + 1}
        elif wants_another(choices, item.wanted, self.policy):
            more = {"slots": items.c.slots + 1, "wanted": items.c.wanted + 1}
        else:
            return
        connection.execute(sa.update(items).where(items.c.id == item.id).values(**more))

    def _note(self, connection: Connection, kind: str, person_id: str, **details: Any) -> None:
        note(connection, kind, study=self.study, at=self.clock(), person_id=person_id, **details)
