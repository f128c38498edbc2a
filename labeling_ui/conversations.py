"""Conversations in the database: what annotators said, which replies they were shown, and which one went on.

A conversation waits for one thing at a time, under a token that changes with every step: for a message, for two
replies to it, for the choice between them. Each step is one transaction, so that a process that is killed leaves a
conversation that still waits for the same thing; replies are stored when both are whole, and never by halves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.answers import ComparisonAnswer, Shown
from labeling_ui.desk import Desk
from labeling_ui.people import Refused, active_person
from labeling_ui.recording import AnyAnswer, Circumstances, Recorded, record
from labeling_ui.steps import step_of
from labeling_ui.subjects import Subject, load_subject
from labeling_ui.talk import Asked, Awaited, Conversation, Pending, Reply
from labeling_ui.trail import note
from rewardkit.label_config import ChatConfig
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import conversations
from rewardkit.store.rows import encode
from rewardkit.types import Comparison, Message, Prompt, Response

SOURCE = "chat"
RELOAD = "reload the page; the conversation is there as it stands"


@dataclass(frozen=True)
class Conversations:
    """The conversations of one study.

    Attributes:
        desk: Whose study, store and clock they share.
        config: How long they are, and how many an annotator has.
    """

    desk: Desk
    config: ChatConfig

    def current(self, person_id: str) -> Conversation | None:
        """Return the conversation that goes on, or begin one; None where the annotator has had them all.

        Raises:
            Refused: The person is not known here, or paused.
        """
        with self.desk.store.writing() as connection:
            active_person(connection, self.desk.study.name, person_id)
            number = connection.execute(sa.select(sa.func.count()).where(_of(person_id))).scalar_one()
            row = _open(connection, person_id)
            if row is None and number < self.config.conversations:
                self._begin(connection, person_id)
                row, number = _open(connection, person_id), number + 1
        return None if row is None else _conversation(row, number)

    def compared(self, person_id: str) -> tuple[int, int]:
        """Return how many pairs of replies a person has compared, and in how many conversations."""
        query = sa.select(sa.func.coalesce(sa.func.sum(conversations.c.turns), 0), sa.func.count())
        with self.desk.store.reading() as connection:
            turns, number = connection.execute(query.where(_of(person_id))).one()
        return int(turns), int(number)

    def say(self, person_id: str, token: str, text: str) -> None:
        """Keep what the annotator says; replies to it are awaited then.

        Raises:
            Refused: It is empty or too long, or the conversation does not wait for it.
        """
        with self._step(person_id, token, "message") as (connection, _, row):
            if not text.strip() or "\0" in text:
                raise Refused("the message is empty or holds what is no text", fix="write something")
            if len(text) > self.config.longest_message:
                most = self.config.longest_message
                raise Refused(f"the message has {len(text)} characters", fix=f"shorten it to {most:,}")
            said = [*row.messages, {"role": "user", "content": text}]
            self._update(connection, row, "replies", messages=said)
            self._note(connection, "said", person_id, conversation=row.id, turn=row.turns + 1)

    def asked(self, person_id: str, token: str) -> Asked:
        """Return the message that is to be replied to.

        Raises:
            Refused: The conversation does not wait for replies under this token.
        """
        with self._step(person_id, token, "replies") as (_, _, row):
            system = (Message(role="system", content=self.config.system),) if self.config.system else ()
            return Asked(row.id, token, (*system, *_messages(row)))

    def replied(self, person_id: str, asked: Asked, replies: Sequence[Reply]) -> None:
        """Store two replies; the choice between them is awaited then.

        Args:
            person_id: Whose conversation it is.
            asked: What they reply to.
            replies: Two, in the order of the models.

        Raises:
            Refused: The conversation does not wait for them any more.
        """
        prompt = Prompt.of(asked.messages, task=SOURCE)
        found = [
            Response.of(prompt.id, reply.text, model=reply.model, generation=dict(reply.generation))
            for reply in replies
        ]
        ids = tuple(found[place].id for place in asked.shown)
        with self._step(person_id, asked.token, "replies") as (connection, _, row):
            turn = row.turns + 1
            if ids[0] == ids[1]:
                insert(connection, map(encode, [prompt, found[0]]))
                self._go_on(connection, row, found[0].text)
                self._note(connection, "same replies", person_id, conversation=row.id, turn=turn, response=ids[0])
                return
            where = {"group": row.id, "source": SOURCE, "metadata": {"turn": turn}}
            insert(connection, map(encode, [prompt, *found, Comparison.of(prompt.id, *ids, **where)]))
            self._update(connection, row, "choice", shown=ids)
            self._note(connection, "replied", person_id, conversation=row.id, turn=turn, shown=list(ids))

    def pick(self, person_id: str, token: str, answer: AnyAnswer) -> Recorded:
        """Take in which reply is better; the conversation goes on from it.

        Of two that are as good, or cannot be judged, the one that was shown first goes on; where both are bad, others
        are awaited.

        Raises:
            Refused: The conversation does not wait for this choice, it came too fast, or it is none between two.
        """
        with self._step(person_id, token, "choice") as (connection, person, row):
            pending = Pending.model_validate(row.pending)
            if self.desk.clock() - pending.since < self.desk.study.config.least_seconds:
                raise Refused("that was too fast to have read everything", fix="read, then send it again")
            subject = load_subject(connection, pending.shown)
            about = {"conversation": row.id, "turn": row.turns + 1}
            recorded = self._record(subject, pending, person.annotator_id, answer, about)
            insert(connection, map(encode, recorded.records))
            self._go_on(connection, row, _goes_on(subject, pending, answer))
            records = sorted(recorded.ids.values())
            self._note(connection, "answered", person_id, lease=token, conversation=row.id, records=records)
        return recorded

    def end(self, person_id: str, token: str) -> None:
        """End a conversation before it is as long as it may be.

        Raises:
            Refused: A choice is awaited, or too little was compared in it.
        """
        with self._step(person_id, token, "message", "replies") as (connection, _, row):
            if row.turns < self.config.least_turns:
                raise Refused("it is too early to end this conversation", fix="go on a little")
            self._close(connection, row)

    def failed(self, person_id: str, conversation: str, why: str) -> None:
        """Note that there were no replies."""
        with self.desk.store.writing() as connection:
            self._note(connection, "chat failed", person_id, conversation=conversation, why=why)

    @contextmanager
    def _step(self, person_id: str, token: str, *awaits: Awaited) -> Iterator[tuple[Connection, Row[Any], Row[Any]]]:
        """Open the transaction of a step; yields it with the person and the conversation, both locked."""
        try:
            with self.desk.store.writing() as connection:
                person = active_person(connection, self.desk.study.name, person_id)
                if step_of(person.details, self.desk.study) != "work":
                    raise Refused("this is not the time for a conversation", fix="reload the page")
                row = _open(connection, person_id)
                if row is None or row.pending["awaits"] not in awaits or row.pending["token"] != token:
                    raise Refused("the conversation has gone on meanwhile", fix=RELOAD)
                yield connection, person, row
        except Refused as refused:
            # In a transaction of its own: the refused one is undone, and the refusal must leave its trace.
            with self.desk.store.writing() as connection:
                self._note(connection, "refused", person_id, token=token[:64], why=refused.what)
            raise

    def _record(
        self, subject: Subject, pending: Pending, annotator_id: str, answer: AnyAnswer, about: Mapping[str, Any]
    ) -> Recorded:
        if not isinstance(answer, ComparisonAnswer) or answer.edits:
            raise Refused("the answer does not fit: one of two replies is to be chosen", fix=RELOAD)
        ids, now, study = [response.id for response in subject.responses], self.desk.clock(), self.desk.study
        how = Circumstances(
            annotator_id=annotator_id,
            lease_id=pending.token,
            shown=tuple(ids.index(each) for each in pending.shown),
            repeat=0,
            sampling_prob=1.0,
            seconds=now - pending.since,
            at=now,
            guideline_version=study.guidelines.version,
            scale=study.scale,
            rubric_version=study.rubric_version,
            rates=study.config.criteria == "rate",
            about=about,
        )
        try:
            return record(answer, subject, study.criteria, how)
        except ValueError as error:
            raise Refused(f"the answer does not fit: {error}", fix=RELOAD) from error

    def _begin(self, connection: Connection, person_id: str) -> None:
        row = {
            "id": secrets.token_urlsafe(16),
            "study": self.desk.study.name,
            "person_id": person_id,
            "state": "open",
            "turns": 0,
            "messages": [],
            "pending": self._pending("message"),
            "created_at": self.desk.clock(),
        }
        connection.execute(sa.insert(conversations).values(**row))
        self._note(connection, "conversation began", person_id, conversation=row["id"])

    def _go_on(self, connection: Connection, row: Row[Any], text: str | None) -> None:
        """Go on from a reply, or wait for others; the last turn ends the conversation."""
        turns = row.turns + 1
        said = row.messages if text is None else [*row.messages, {"role": "assistant", "content": text}]
        self._update(connection, row, "replies" if text is None else "message", turns=turns, messages=said)
        if turns >= self.config.most_turns:
            self._close(connection, row)

    def _update(
        self, connection: Connection, row: Row[Any], awaits: Awaited, *, shown: Sequence[str] = (), **more: Any
    ) -> None:
        """Wait for something else, under another token."""
        values = {"pending": self._pending(awaits, shown), **more}
        connection.execute(sa.update(conversations).where(conversations.c.id == row.id).values(**values))

    def _pending(self, awaits: Awaited, shown: Sequence[str] = ()) -> dict[str, Any]:
        pending = Pending(awaits=awaits, token=secrets.token_urlsafe(16), since=self.desk.clock(), shown=tuple(shown))
        return pending.model_dump(mode="json")

    def _close(self, connection: Connection, row: Row[Any]) -> None:
        ended = {"state": "done", "closed_at": self.desk.clock()}
        connection.execute(sa.update(conversations).where(conversations.c.id == row.id).values(**ended))
        self._note(connection, "conversation ended", row.person_id, conversation=row.id)

    def _note(self, connection: Connection, kind: str, person_id: str, **details: Any) -> None:
        note(connection, kind, study=self.desk.study.name, at=self.desk.clock(), person_id=person_id, **details)


def _of(person_id: str) -> sa.ColumnElement[bool]:
    return conversations.c.person_id == person_id


def _open(connection: Connection, person_id: str) -> Row[Any] | None:
    mine = sa.select(conversations).where(_of(person_id), conversations.c.state == "open")
    return connection.execute(mine.with_for_update()).first()


def _conversation(row: Row[Any], number: int) -> Conversation:
    return Conversation(row.id, number, row.turns, _messages(row), Pending.model_validate(row.pending))


def _messages(row: Row[Any]) -> tuple[Message, ...]:
    return tuple(map(Message.model_validate, row.messages))


def _goes_on(subject: Subject, pending: Pending, answer: AnyAnswer) -> str | None:
    """Return the text from which the conversation goes on."""
    choice: Shown | None = getattr(answer, "choice", None)
    if choice == "both_bad":
        return None
    chosen = pending.shown[1 if choice == "second" else 0]
    return next(response.text for response in subject.responses if response.id == chosen)
