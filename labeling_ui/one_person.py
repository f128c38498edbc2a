"""One person's data: all of it as a file, or what tells who they are erased.

Erased are the name under which they came, the password, and what they wrote in their own words (rationales, notes on
passages, drafts, what they said in conversations). Choices, ratings, times and better versions of responses stay,
under the pseudonym: they are the study's data. So do the prompts that were made of what they said to models: a prompt
is what stored responses answer and comparisons are about, its id covers its words, and it names nobody.

The id under which they were kept is made from where they came from, and is replaced by one that nobody can work out.
The pseudonym is a hash of the same, under the workspace's secret: without the secret it leads to nobody, and with it
a study recognizes who comes in the same way again. They are refused: what they have labelled is not known any more,
so that they would label it again, and one person would stand as two where a study counts on different people.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from labeling_ui.people import Refused
from labeling_ui.trail import note
from rewardkit.store.inserting import insert
from rewardkit.store.labelling_tables import conversations, events, leases, people
from rewardkit.store.rows import KINDS, encode
from rewardkit.store.store import Store
from rewardkit.store.tables import METADATA, labels, ratings, responses
from rewardkit.types import Label, Rating

KEPT = ("consent", "check", "qualification")
"""What is kept of an erased person's details: it says under which conditions they labelled."""


def lines_of(store: Store, study: str, person_id: str) -> Iterator[dict[str, Any]]:
    """Yield all that is kept of a person, as {"kind", "record"}.

    Raises:
        Refused: The person is not known here.
    """
    with store.reading() as connection:
        person = _person(connection, study, person_id)
        # A hash is no knowledge of theirs, and would help whoever gets hold of the file.
        details = {name: value for name, value in person.details.items() if name != "password"}
        yield {"kind": "person", "record": {**_plain(person), "details": details}}
        annotator = KINDS["annotators"].table
        for row in connection.execute(sa.select(annotator).where(annotator.c.id == person.annotator_id)):
            yield {"kind": "annotator", "record": _plain(row)}
        for table, mine in _theirs(person):
            order = list(table.primary_key.columns)
            for row in connection.execute(sa.select(table).where(mine).order_by(*order)):
                yield {"kind": table.name.removesuffix("s"), "record": _plain(row)}


def erase(store: Store, study: str, person_id: str, *, by: Row[Any], at: float) -> str:
    """Erase who somebody is and what they wrote in their own words; return the id under which the rest is kept.

    Args:
        store: Where they are.
        study: Of which they are.
        person_id: Who.
        by: The researcher who does it.
        at: Now, in seconds since 1970.

    Raises:
        Refused: The person is not known here, is a researcher, or was erased before.
    """
    with store.writing() as connection:
        person = _person(connection, study, person_id, lock=True)
        if person.role == "admin":
            raise Refused("this is a researcher", fix="only annotators' data are erased here")
        if person.details.get("erased"):
            raise Refused("this person was erased before")
        new_ids = _without_words(connection, person.annotator_id)
        new = _replaced(connection, person, at)
        _forget_answers(connection, new, new_ids)
        _forget_messages(connection, new)
        note(connection, "erased", study=study, at=at, person_id=new, by=by.id, records=len(new_ids))
    return new


def _person(connection: Connection, study: str, person_id: str, *, lock: bool = False) -> Row[Any]:
    query = sa.select(people).where(people.c.id == person_id, people.c.study == study)
    found = connection.execute(query.with_for_update() if lock else query).first()
    if found is None:
        raise Refused("this person is not known here", fix="reload the page")
    return found


def _theirs(person: Row[Any]) -> Sequence[tuple[sa.Table, sa.ColumnElement[bool]]]:
    return (
        (labels, labels.c.annotator_id == person.annotator_id),
        (ratings, ratings.c.annotator_id == person.annotator_id),
        (responses, responses.c.metadata["editor"].as_string() == person.annotator_id),
        *((column.table, column == person.id) for column in _naming_people()),
    )


def _naming_people() -> list[sa.Column[Any]]:
    """Return the columns that name a person, whichever tables there are."""
    columns = [column for table in METADATA.sorted_tables for column in table.c]
    named = [column for column in columns if any(key.column is people.c.id for key in column.foreign_keys)]
    # The trail outlives people, and is tied to none.
    return [*named, events.c.person_id]


def _plain(row: Row[Any]) -> dict[str, Any]:
    # Names of columns are a kind of text that JSON does not know.
    return {str(name): value for name, value in row._mapping.items()}


def _without_words(connection: Connection, annotator_id: str) -> dict[str, str]:
    """Replace labels and ratings by ones without a rationale; return their new ids, by the old ones.

    An id covers what is said, so that a record without its words is another record, and what supersedes it names it.
    """
    new_ids: dict[str, str] = {}
    for table in (labels, ratings):
        rows = connection.execute(sa.select(table).where(table.c.annotator_id == annotator_id)).all()
        records = [KINDS[table.name].decode(row) for row in rows]
        for record in _earlier_first(records):
            bare = _bare(record, new_ids)
            if bare.id != record.id:
                new_ids[record.id] = bare.id
                insert(connection, [encode(bare)])
        gone = [{"gone": record.id} for record in records if record.id in new_ids]
        if gone:
            connection.execute(sa.delete(table).where(table.c.id == sa.bindparam("gone")), gone)
    return new_ids


def _earlier_first(records: Sequence[Any]) -> Iterator[Any]:
    """Yield records, each after the one that it supersedes."""
    waiting = {record.id: record for record in records}
    while waiting:
        ready = [record for record in waiting.values() if record.supersedes not in waiting]
        for record in ready:
            del waiting[record.id]
        yield from ready


def _bare(record: Label | Rating, new_ids: Mapping[str, str]) -> Label | Rating:
    """Return a record without its annotator's own words."""
    fields = {name: value for name, value in record if name != "id"}
    fields |= {"rationale": "", "supersedes": new_ids.get(record.supersedes or "", record.supersedes)}
    metadata = {name: value for name, value in record.metadata.items() if name != "rationale_order"}
    if "spans" in metadata:
        metadata["spans"] = _unnoted(metadata["spans"])
    if "points" in metadata:
        # What was made of a judge's points stays, and how they were put instead does not.
        decided = metadata["points"].items()
        metadata["points"] = {point: {**said, "text": ""} if said.get("text") else said for point, said in decided}
        metadata["blind"] = {about: new_ids.get(each, each) for about, each in metadata["blind"].items()}
    if isinstance(record, Label):
        fields |= {"spans": tuple(_unnoted(record.spans)), "metadata": metadata}
        return Label.of(fields.pop("comparison_id"), fields.pop("annotator_id"), **fields)
    fields["metadata"] = metadata
    about = (fields.pop(name) for name in ("response_id", "annotator_id", "criterion"))
    return Rating.of(*about, **fields)


def _unnoted(spans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**span, "note": ""} for span in spans]


def _replaced(connection: Connection, person: Row[Any], at: float) -> str:
    """Give what is left of a person an id that nothing leads to; they get no more work."""
    new = f"erased-{secrets.token_hex(12)}"
    kept = {name: person.details[name] for name in KEPT if name in person.details}
    row = {**person._mapping, "id": new, "external_id": new, "state": "paused", "details": {**kept, "erased": at}}
    connection.execute(sa.insert(people).values(**row))
    for column in _naming_people():
        connection.execute(sa.update(column.table).where(column == person.id).values({column.name: new}))
    connection.execute(sa.delete(people).where(people.c.id == person.id))
    return new


def _forget_answers(connection: Connection, person_id: str, new_ids: Mapping[str, str]) -> None:
    """Take their own words out of the answers as the page sent them, and out of drafts."""
    for lease in connection.execute(sa.select(leases).where(leases.c.person_id == person_id)).all():
        answer = lease.answer and {**lease.answer, "rationale": "", "spans": _unnoted(lease.answer.get("spans", ()))}
        records = lease.records and {about: new_ids.get(each, each) for about, each in lease.records.items()}
        values = {"answer": answer, "records": records, "draft": None}
        connection.execute(sa.update(leases).where(leases.c.id == lease.id).values(**values))


def _forget_messages(connection: Connection, person_id: str) -> None:
    """Take out what they said in conversations; what models replied stays."""
    for row in connection.execute(sa.select(conversations).where(conversations.c.person_id == person_id)).all():
        messages = [{**said, "content": ""} if said["role"] == "user" else said for said in row.messages]
        connection.execute(sa.update(conversations).where(conversations.c.id == row.id).values(messages=messages))
