"""Between records and rows: what each kind of record looks like in its table.

Writing goes through the driver with values that are already encoded, because that is where an import
spends its time; reading goes through SQLAlchemy and validates again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

import orjson
import sqlalchemy as sa

from rewardkit.errors import DataError
from rewardkit.store import tables
from rewardkit.types import (
    Annotator,
    Choice,
    Comparison,
    Label,
    Message,
    Order,
    Prompt,
    Rating,
    Record,
    Response,
    Split,
)

Encoder = Callable[[Any], str]
Encoded = tuple[str, tuple[Any, ...]]
"""Name of a table, and the values of one of its rows."""


class ExternalId(Record):
    """The name that a file gave to a record: the same name with other content is a mistake in the file."""

    source: str
    kind: str
    external_id: str
    record_id: str


class ComparisonTexts(Record):
    """A comparison with all that it compares."""

    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response


@dataclass(frozen=True)
class RatedTexts:
    """A response with its prompt."""

    response: Response
    prompt: Prompt


@dataclass(frozen=True)
class Kind:
    """One kind of record and its table.

    Attributes:
        name: The record's name in exported files, in the singular.
        model: The record's class.
        table: Its table; the columns have the names of the fields.
    """

    name: str
    model: type[Record]
    table: sa.Table

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns, in their order."""
        return [column.name for column in self.table.c]

    @cached_property
    def _values(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        return itemgetter(*self.columns)

    @cached_property
    def _encoders(self) -> list[tuple[int, Encoder, str | None]]:
        return [(at, *ENCODERS[name]) for at, name in enumerate(self.columns) if name in ENCODERS]

    def encode(self, record: Record) -> tuple[Any, ...]:
        """Return the record's values in the order of the columns, as the driver takes them.

        Raises:
            DataError: A dictionary holds what JSON cannot.
        """
        values = list(self._values(record.__dict__))
        try:
            for at, encoder, empty in self._encoders:
                value = values[at]
                values[at] = encoder(value) if value else empty
        except TypeError as error:
            raise DataError(
                f"a {self.name}'s dictionary cannot be stored ({error})", expected="JSON: text keys, numbers, lists"
            ) from error
        return tuple(values)

    def decode(self, row: Sequence[Any]) -> Any:
        """Return the record of a row."""
        return self.model.model_validate(dict(zip(self.columns, row, strict=True)))

    @cached_property
    def key_of(self) -> Callable[[tuple[Any, ...]], Any]:
        """What returns the primary key of a row."""
        return itemgetter(*(self.columns.index(column.name) for column in self.table.primary_key))

    def insert(self, mark: str, rows: int = 1) -> str:
        """Return the statement that adds rows unless their keys are there.

        Args:
            mark: The driver's mark for a value ("?" or "%s").
            rows: How many rows one execution takes.
        """
        values = ", ".join([f"({', '.join([mark] * len(self.columns))})"] * rows)
        names = ", ".join(f'"{name}"' for name in self.columns)
        return f'INSERT INTO "{self.table.name}" ({names}) VALUES {values} ON CONFLICT DO NOTHING'


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _messages(value: tuple[Message, ...]) -> str:
    return _json([{"role": message.role, "content": message.content} for message in value])


# By column: how a value is written, and what stands for an empty one.
ENCODERS: dict[str, tuple[Encoder, str | None]] = {
    "messages": (_messages, "[]"),
    "metadata": (_json, "{}"),
    "generation": (_json, "{}"),
    "settings": (_json, "{}"),
    "criteria": (_json, "{}"),
    "spans": (_json, "[]"),
    "scale": (_json, "[]"),
    "created_at": (datetime.isoformat, None),
}

# In the order in which they may name each other: an earlier kind never names a later one.
KINDS: dict[str, Kind] = {
    kind.table.name: kind
    for kind in (
        Kind("prompt", Prompt, tables.prompts),
        Kind("response", Response, tables.responses),
        Kind("annotator", Annotator, tables.annotators),
        Kind("comparison", Comparison, tables.comparisons),
        Kind("label", Label, tables.labels),
        Kind("rating", Rating, tables.ratings),
        Kind("external_id", ExternalId, tables.external_ids),
    )
}
# Stands for a comparison's id in what all labels of one annotator with one answer share.
ANY = "<any comparison>"
KIND_OF: dict[type[Record], Kind] = {kind.model: kind for kind in KINDS.values()}


def encode(record: Record) -> Encoded:
    """Return a record as a row.

    Raises:
        DataError: A dictionary holds what JSON cannot.
    """
    kind = KIND_OF[type(record)]
    return kind.table.name, kind.encode(record)


# What follows gives what `encode` gives for plain records, and tests hold it to that. An import makes five
# of them a row from values that it has checked itself, which halves its time.


def prompt_row(text: str, task: str) -> Encoded:
    """Return the row of a prompt of one user message, or of none where the text is empty."""
    if not text:
        return "prompts", (Prompt.identity(), "[]", task, "{}")
    return "prompts", (Prompt.identity(("user", text)), _json([{"role": "user", "content": text}]), task, "{}")


def response_row(prompt_id: str, text: str, model: str | None) -> Encoded:
    """Return the row of a response; the text is not empty."""
    return "responses", (Response.identity(prompt_id, text, model), prompt_id, text, model, "{}", None, "{}")


def comparison_row(
    prompt_id: str, response_ids: tuple[str, str], source: str, metadata: dict[str, Any], split: Split | None = None
) -> Encoded:
    """Return the row of a comparison; the ids are in their order.

    Raises:
        DataError: The metadata hold what JSON cannot.
    """
    a, b = response_ids
    if metadata:
        record = Comparison.of(prompt_id, a, b, source=source, metadata=metadata, split=split)
        return encode(record)
    return "comparisons", (Comparison.identity(prompt_id, a, b), prompt_id, a, b, split, None, source, "{}")


class PlainLabels:
    """Rows of labels that say which response is better, and no more.

    Those of one annotator with one answer differ only in their comparison: the rest is worked out once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, Choice, Order | None], tuple[str, str, tuple[Any, ...]]] = {}

    def row(self, comparison_id: str, annotator_id: str, choice: Choice, order: Order | None) -> Encoded:
        """Return the row of a label."""
        key = annotator_id, choice, order
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._without_comparison(*key)
        before, after, values = known
        return "labels", (Label.identity(before + comparison_id + after), comparison_id, *values)

    def _without_comparison(
        self, annotator_id: str, choice: Choice, order: Order | None
    ) -> tuple[str, str, tuple[Any, ...]]:
        label = Label(id="", comparison_id=ANY, annotator_id=annotator_id, choice=choice, order_shown=order)
        before, after = label.said().split(ANY)
        return before, after, KINDS["labels"].encode(label)[2:]
