"""All that was answered in a study so far, as one list that the researchers' numbers are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from threading import Lock
from typing import Any

import sqlalchemy as sa

from labeling_ui.talked import fields_of, talked
from rewardkit.aggregation.agreement import graded
from rewardkit.store.labelling_tables import events, items, leases, people
from rewardkit.store.store import Store
from rewardkit.store.tables import prompts, responses

AT_A_TIME = 500
# Events that are read again: of two that are noted at once, the one with the smaller number may be seen later.
OVERLAP = 200
KEPT = ("strength", "criteria", "ranks", "ratings")


@dataclass(frozen=True)
class Text:
    """What the numbers need to know of a response: which prompt it answers, of what task, and how long it is."""

    prompt_id: str
    task: str
    length: int


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to one item.

    Attributes:
        lease_id: What it was given under.
        item_id: What was labelled.
        person_id: By whom.
        task: comparison, ranking or rating.
        role: work, gold or qualification.
        expected: The right answer, where it is known.
        responses: Their ids, sorted.
        texts: What is known of each.
        shown: Their places in the order in which they were shown.
        repeat: 0; 1 where the annotator had labelled it before.
        choice: Of a comparison, in its frame; None where it could not be judged.
        answer: What the numbers need of what the page sent: no rationale and no passages.
        seconds: From showing to sending.
        at: When, in seconds since 1970.
    """

    lease_id: str
    item_id: str
    person_id: str
    task: str
    role: str
    expected: str | None
    responses: tuple[str, ...]
    texts: tuple[Text, ...]
    shown: tuple[int, ...]
    repeat: int
    choice: str | None
    answer: Mapping[str, Any]
    seconds: float
    at: float

    @property
    def said(self) -> Any:
        """What an answer and its repeat are compared by: the same value where the same was said."""
        if self.task == "rating":
            return self.answer["ratings"]
        return self.choice if self.task == "comparison" else self.ranks

    @property
    def abstained(self) -> bool:
        """Whether nothing could be judged."""
        said = self.said
        return all(value is None for value in said.values()) if isinstance(said, dict) else said is None

    @property
    def ranks(self) -> tuple[int, ...] | None:
        """Rank of each response of a ranking; None where it could not be judged."""
        ranks = self.answer["ranks"]
        if ranks is None:
            return None
        of_place = {self.shown[int(place) - 1]: rank for place, rank in ranks.items()}
        return tuple(of_place[place] for place in range(len(self.responses)))

    @property
    def first_chosen(self) -> bool | None:
        """Whether the response that was shown first was preferred; None without a preference."""
        if self.choice not in ("a", "b"):
            return None
        return (self.choice == "a") == (self.shown[0] == 0)

    @property
    def longer_chosen(self) -> bool | None:
        """Whether the longer response was preferred; None without a preference, or where both are as long."""
        if self.choice not in ("a", "b") or self.texts[0].length == self.texts[1].length:
            return None
        return (self.choice == "a") == (self.texts[0].length > self.texts[1].length)

    @property
    def graded(self) -> float | None:
        """A comparison on the scale from −3 to 3; None where it could not be judged."""
        if self.choice is None:
            return None
        return graded(self.choice, self.answer.get("strength"))  # type: ignore[arg-type]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield what a ranking says of each pair of its responses: the pair, and a, b or tie."""
        if (ranks := self.ranks) is not None:
            for one, other in combinations(range(len(ranks)), 2):
                said = "tie" if ranks[one] == ranks[other] else "a" if ranks[one] < ranks[other] else "b"
                yield f"{self.item_id} {one} {other}", said


@dataclass
class AnswerReader:
    """Reads the answers of one study; what was read before is kept, and only what is new or changed is read again.

    Where nothing is, the same list is returned again: what was counted of it still holds.

    The audit trail says what that is: it names the lease of every answer and of every change, in the transaction
    that makes it.

    Attributes:
        store: Where they are.
        study: Its name.
    """

    store: Store
    study: str
    _texts: dict[str, Text] = field(default_factory=dict)
    _answers: dict[str, Answered] = field(default_factory=dict)
    _conversed: Sequence[Answered] = ()
    _all: Sequence[Answered] | None = None
    _read_to: int | None = None
    _lock: Lock = field(default_factory=Lock)

    def read(self) -> Sequence[Answered]:
        """Return all answers, the earliest first."""
        with self._lock:
            read, read_to = self._read_new()
            new = {lease: each for lease, each in read.items() if self._answers.get(lease) != each}
            conversed = self._talked()
            if self._all is None or new or conversed != self._conversed:
                self._answers.update(new)
                self._conversed = conversed
                every = (*self._answers.values(), *conversed)
                self._all = sorted(every, key=lambda each: (each.at, each.lease_id))
            # Last of all: what was not kept after all is read again.
            self._read_to = read_to
            return self._all

    def _talked(self) -> list[Answered]:
        """Return the answers in conversations, of which there are few: they are read anew each time."""
        with self.store.reading() as connection:
            found = [fields_of(row) for row in talked(connection, self.study)]
        texts = self._known({each for fields in found for each in fields["responses"]})
        return [Answered(**fields, texts=tuple(texts[each] for each in fields["responses"])) for fields in found]

    def _read_new(self) -> tuple[dict[str, Answered], int]:
        """Return, by lease, what was answered or changed since the last time, and how far the trail was read.

        It is everything the first time.
        """
        after = None if self._read_to is None else self._read_to - OVERLAP
        read: dict[str, Answered] = {}
        with self.store.reading() as connection:
            found = connection.execute(_noted(self.study, after)).all()
            if self._read_to is None or any(row.kind == "erased" and row.number > self._read_to for row in found):
                # What was erased stands under another person now, wherever it was.
                self._answers.clear()
                self._all = None
                queries = [_done(self.study)]
            else:
                ids = sorted({lease for row in found if (lease := row.details.get("lease"))})
                parts = [ids[start : start + AT_A_TIME] for start in range(0, len(ids), AT_A_TIME)]
                queries = [_done(self.study).where(leases.c.id.in_(part)) for part in parts]
            for query in queries:
                for rows in connection.execute(query.execution_options(yield_per=AT_A_TIME)).partitions():
                    texts = self._known({each for row in rows for each in row.responses})
                    read.update({row.id: _answered(row, texts) for row in rows})
        return read, max([self._read_to or 0, *(row.number for row in found)])

    def _known(self, ids: Iterable[str]) -> Mapping[str, Text]:
        new = sorted(each for each in ids if each not in self._texts)
        length = sa.func.length(responses.c.text)
        query = sa.select(responses.c.id, responses.c.prompt_id, prompts.c.task, length)
        query = query.join_from(responses, prompts, responses.c.prompt_id == prompts.c.id)
        with self.store.reading() as connection:
            for start in range(0, len(new), AT_A_TIME):
                part = responses.c.id.in_(new[start : start + AT_A_TIME])
                found = connection.execute(query.where(part))
                self._texts.update({response: Text(*rest) for response, *rest in found})
        return self._texts


def _noted(study: str, after: int | None) -> sa.Select[Any]:
    """Select what the trail says after an event; only its end where nothing was read yet."""
    query = sa.select(events.c.number, events.c.kind, events.c.details).where(events.c.study == study)
    if after is None:
        return query.order_by(events.c.number.desc()).limit(1)
    return query.where(events.c.number > after)


# No others: drafts and records are decoded for nothing.
_READ = (
    *(leases.c[name] for name in ("id", "item_id", "person_id", "repeat", "order_shown", "leased_at", "closed_at")),
    *(leases.c[name] for name in ("choice", "answer")),
    *(items.c[name] for name in ("task", "role", "expected", "responses")),
)


def _done(study: str) -> sa.Select[Any]:
    query = sa.select(*_READ).join_from(leases, items, leases.c.item_id == items.c.id)
    return query.where(items.c.study == study, leases.c.state == "done")


def _answered(row: sa.Row[Any], texts: Mapping[str, Text]) -> Answered:
    return Answered(
        lease_id=row.id,
        item_id=row.item_id,
        person_id=row.person_id,
        task=row.task,
        role=row.role,
        expected=row.expected,
        responses=tuple(row.responses),
        texts=tuple(texts[each] for each in row.responses),
        shown=tuple(map(int, row.order_shown)),
        repeat=row.repeat,
        choice=row.choice,
        answer={name: row.answer[name] for name in KEPT if name in row.answer},
        seconds=max(0.0, row.closed_at - row.leased_at),
        at=row.closed_at,
    )


def known_people(store: Store, study: str) -> list[sa.Row[Any]]:
    """Return everybody of a study, in the order in which they came."""
    query = sa.select(people).where(people.c.study == study).order_by(people.c.created_at, people.c.id)
    with store.reading() as connection:
        return list(connection.execute(query).all())
