"""Who takes part in a study: how they came, and whether they may go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.leases import insert_new
from labeling_ui.trail import note
from rewardkit.errors import RewardkitError
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import people
from rewardkit.store.rows import encode
from rewardkit.store.store import Store
from rewardkit.store.tables import annotators
from rewardkit.types import Annotator, content_id

Role = Literal["annotator", "admin"]
State = Literal["active", "paused"]


class Refused(RewardkitError):
    """A request of the page that is not granted; it is in the audit trail, and the annotator is told why."""


@dataclass
class People:
    """The people of one study.

    Attributes:
        store: Where they are.
        study: Its name.
        clock: Seconds since 1970.
    """

    store: Store
    study: str
    clock: Callable[[], float] = time.time

    def join(self, entry: str, external_id: str, annotator: Annotator, *, role: Role = "annotator") -> str:
        """Return the id of a person, who is made known if they are new.

        Args:
            entry: How they came ("prolific", "invitation", "password").
            external_id: Who they are there.
            annotator: Under which name their labels are kept.
            role: What they may do.

        Raises:
            Refused: They were here, and were erased.
        """
        person = content_id("person", self.study, entry, external_id)
        row = {
            "id": person,
            "study": self.study,
            "entry": entry,
            "external_id": external_id,
            "annotator_id": annotator.id,
            "role": role,
            "state": "active",
            "created_at": self.clock(),
            "details": {},
        }
        with self.store.writing() as connection:
            if gone := _was_erased(connection, self.study, annotator.name):
                note(connection, "refused", study=self.study, at=self.clock(), entry=entry, why="erased before")
            else:
                insert(connection, [encode(annotator)])
                if insert_new(connection, people, [row]):
                    note(connection, "joined", study=self.study, at=self.clock(), person_id=person, entry=entry)
        if gone:
            what = "the data of whoever came in this way were erased, and they cannot take part again"
            raise Refused(what, fix="if that was not you, ask for another way in")
        return person

    def get(self, person_id: str) -> Row[Any] | None:
        """Return a person of the study; None where there is none."""
        with self.store.reading() as connection:
            return connection.execute(self._one(person_id)).first()

    def any_came_by(self, entry: str) -> bool:
        """Tell whether anybody came in some way."""
        mine = sa.select(people.c.id).where(people.c.study == self.study, people.c.entry == entry).limit(1)
        with self.store.reading() as connection:
            return connection.execute(mine).first() is not None

    def find(self, entry: str, external_id: str) -> Row[Any] | None:
        """Return a person by how they came; None where there is none."""
        return self.get(content_id("person", self.study, entry, external_id))

    def keep(self, person_id: str, what: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Change what is kept of a person.

        Args:
            person_id: Of whom.
            what: What they did, for the audit trail.
            change: Takes what is kept, returns what is new.

        Raises:
            Refused: The person is not known here.
        """
        with self.store.writing() as connection:
            person = connection.execute(self._one(person_id).with_for_update(key_share=True)).first()
            if person is None:
                raise _unknown()
            new = dict(change(person.details))
            keep_details(connection, person, new)
            note(connection, what, study=self.study, at=self.clock(), person_id=person_id)

    def _one(self, person_id: str) -> sa.Select[Any]:
        return sa.select(people).where(people.c.id == person_id, people.c.study == self.study)

    def set_state(self, person_id: str, state: State, *, why: str = "", by: str = "") -> None:
        """Pause or resume somebody; what they have in hand stays theirs until its lease ends.

        Args:
            person_id: Whom.
            state: What they are from now on.
            why: For the audit trail.
            by: The id of the researcher who does it; empty where no researcher does.

        Raises:
            Refused: The person is not known here.
        """
        mine = sa.update(people).where(people.c.id == person_id, people.c.study == self.study).values(state=state)
        with self.store.writing() as connection:
            if not connection.execute(mine).rowcount:
                raise _unknown()
            note(connection, state, study=self.study, at=self.clock(), person_id=person_id, why=why, by=by)


def keep_details(connection: Connection, person: Row[Any], new: Mapping[str, Any]) -> None:
    """Add to what is kept of a person, whose row is locked."""
    changed = sa.update(people).where(people.c.id == person.id).values(details={**person.details, **new})
    connection.execute(changed)


def _was_erased(connection: Connection, study: str, pseudonym: str) -> bool:
    """Tell whether somebody with this pseudonym, which is made from how they came, was erased."""
    query = sa.select(people.c.details).join_from(people, annotators, people.c.annotator_id == annotators.c.id)
    rows = connection.execute(query.where(people.c.study == study, annotators.c.name == pseudonym))
    return any(details.get("erased") for details in rows.scalars())


_LOCKED = (
    sa.select(people)
    .where(people.c.id == sa.bindparam("person"), people.c.study == sa.bindparam("study"))
    .with_for_update(key_share=True)
)


def active_person(connection: Connection, study: str, person_id: str) -> Row[Any]:
    """Return a person who may work, and lock them: one request of a person at a time.

    Raises:
        Refused: They are not known here, or paused.
    """
    person = connection.execute(_LOCKED, {"person": person_id, "study": study}).first()
    if person is None:
        raise _unknown()
    if person.state != "active":
        raise Refused("you are paused; your work is kept", fix="write to the people who run the study")
    return person


def _unknown() -> Refused:
    return Refused("you are not known here", fix="open the link of your invitation again")
