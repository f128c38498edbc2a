"""From the cells of one row to values of records: the checks that all formats share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from rewardkit.store.rows import Encoded, PlainLabels, encode, prompt_row, response_row
from rewardkit.types import Annotator, Choice, Kind, Message, Order, Prompt, Split

WORDS: dict[str, Choice] = {
    "a": "a",
    "response_a": "a",
    "model_a": "a",
    "b": "b",
    "response_b": "b",
    "model_b": "b",
    "tie": "tie",
    "both_bad": "both_bad",
    "tie (bothbad)": "both_bad",
    "bothbad": "both_bad",
}
# Not where a preference is asked for: there a number is a probability.
NUMBERED: dict[str, Choice] = {"1": "a", "2": "b"}
SIDES: dict[str, Choice] = {"response_a": "a", "response_b": "b", "model_a": "a", "model_b": "b"}
TURNED: dict[Choice, Choice] = {"a": "b", "b": "a", "tie": "tie", "both_bad": "both_bad"}
SPLITS: tuple[Split, ...] = get_args(Split)
# A cell of a CSV file is a text.
TRUE = (True, "true", "True", "1")


class RowError(ValueError):
    """Why a row is rejected."""


@dataclass
class RowContext:
    """What the rows of one data set have in common.

    Attributes:
        source: Name of the data set.
        task: Task of all prompts; the row's own if absent.
        words: What stands for a choice.
        annotators: Those met so far, and their rows, by what the file calls them.
        plain_labels: What labels that differ only in their comparison share.
    """

    source: str
    task: str | None = None
    words: Mapping[str, Choice] = field(default_factory=lambda: WORDS)
    annotators: dict[tuple[Any, ...], Encoded] = field(default_factory=dict)
    plain_labels: PlainLabels = field(default_factory=PlainLabels)

    def external(self, row: dict[str, Any], kind: str, record_id: str) -> list[Encoded]:
        """Return the row's own id, if it has one."""
        name = row.get("id")
        if name is None or name == "":
            return []
        return [("external_ids", (self.source, kind, no_nul(str(name), "id"), record_id))]


def prompt_of(row: dict[str, Any], context: RowContext) -> Encoded:
    """Read the prompt of a row: a text (one user message, none if empty) or a list of messages."""
    value, meta = row.get("prompt"), meta_of(row)
    task = context.task or row.get("task") or (meta.get("task") or meta.get("category") if meta else None) or ""
    if isinstance(value, str):
        return prompt_row(no_nul(value, "prompt"), str(task))
    return encode(Prompt.of(messages_of(value, "prompt"), task=str(task)))


def messages_of(value: Any, name: str) -> tuple[Message, ...]:
    """Read a text or a list of {role, content}."""
    if isinstance(value, str):
        return (Message(role="user", content=no_nul(value, name)),) if value else ()
    if not isinstance(value, (list, tuple)):
        raise RowError(f"{name} is missing" if value is None else f"{name} is neither a text nor a list of messages")
    return tuple(_message(item, name) for item in value)


def _message(item: Any, name: str) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        raise RowError(f"{name} holds a message without a role and a text")
    return Message(role=item.get("role"), content=no_nul(item["content"], name))


def response_of(row: dict[str, Any], side: str, prompt_id: str) -> Encoded:
    """Read a response from its column, and its model from the column beside it."""
    model = row.get(f"model_{side}") or None
    if model is not None and not isinstance(model, str):
        raise RowError(f"model_{side} is not a text")
    name = f"response_{side}"
    return response_row(prompt_id, text_of(row.get(name), name), model)


def text_of(value: Any, name: str) -> str:
    """Return a response's text, or say why it is none."""
    if value is None:
        raise RowError(f"{name} is missing (the text is withheld or the column is empty)")
    if not isinstance(value, str):
        raise RowError(f"{name} is not a text")
    if not value or value.isspace():
        raise RowError(f"{name} is empty")
    return no_nul(value, name)


def no_nul(value: str, name: str) -> str:
    """Refuse what PostgreSQL cannot hold, on every database."""
    if "\x00" in value:
        raise RowError(f"{name} holds a NUL character")
    return value


def meta_of(row: dict[str, Any], *, flipped: bool = False) -> dict[str, Any]:
    """Return the row's `meta`; keys that name a side (`system_a`) follow their response."""
    meta = row.get("meta")
    if meta is None or meta == "":
        return {}
    if not isinstance(meta, dict):
        raise RowError("meta is not a mapping")
    return {other_side(key): value for key, value in meta.items()} if flipped else meta


def other_side(key: str) -> str:
    """Return the name of the same thing on the other side."""
    if key.endswith(("_a", "_b")):
        return key[:-1] + ("b" if key.endswith("a") else "a")
    return key


def number_of(value: Any, name: str) -> float:
    """Read a finite number, from a text too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise RowError(f"{name} is not a number")
    try:
        number = float(value)
    except ValueError:
        raise RowError(f"{name} is not a number: {value!r}") from None
    if not math.isfinite(number):
        raise RowError(f"{name} is not a finite number: {value!r}")
    return number


def whole_of(value: Any, name: str) -> int:
    """Read a whole number."""
    number = number_of(value, name)
    if number != int(number):
        raise RowError(f"{name} is not a whole number: {value!r}")
    return int(number)


def order_of(value: Any) -> Order | None:
    """Read in which order the responses were shown, in the frame of the row."""
    if value is None or value == "":
        return None
    if value == "ab" or value == "ba":
        return "ab" if value == "ab" else "ba"
    raise RowError(f"unknown order {value!r} (expected ab or ba)")


def split_of(value: Any) -> Split | None:
    """Read on which side of the division a comparison stands, where that is set."""
    if value is None or value == "":
        return None
    for split in SPLITS:
        if value == split:
            return split
    raise RowError(f"unknown split {value!r} (expected {', '.join(SPLITS)})")


def words_of(columns: Mapping[str, str]) -> dict[str, Choice]:
    """Return what stands for a choice in files whose columns have names of their own.

    Args:
        columns: Field of rewardkit: column of the files. Where `left` is the column of A's response, the
            winner `left` is A, whatever the word would mean elsewhere.
    """
    own: dict[str, Choice] = {}
    for name, choice in SIDES.items():
        if name in columns and own.setdefault(columns[name].strip().lower(), choice) != choice:
            # Two columns that differ in their capitals only: their names say nothing.
            return WORDS
    return {**WORDS, **own}


def verdict_of(entry: dict[str, Any], words: Mapping[str, Choice] = WORDS) -> tuple[Choice, float | None] | None:
    """Read a preference or a choice, in the frame of the row.

    Args:
        entry: A label, or a row that is one.
        words: What stands for a choice.

    Returns:
        The choice, and the probability of A where it is neither 0, 1 nor one half; None where the row
        says nothing.
    """
    value = entry.get("preference")
    if value is None or value == "":
        return _word(entry, words)
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()], None
    p_a = number_of(value, "preference")
    if not 0.0 <= p_a <= 1.0:
        raise RowError(f"preference {p_a:g} is not between 0 and 1 (1 for A and 2 for B are a field winner)")
    if p_a == 0.5:
        return "tie", None
    return "a" if p_a > 0.5 else "b", None if p_a in (0.0, 1.0) else p_a


def _word(entry: dict[str, Any], words: Mapping[str, Choice]) -> tuple[Choice, None] | None:
    for name in ("choice", "winner"):
        value = entry.get(name)
        if value is None or value == "":
            continue
        word = str(value).strip().lower()
        choice = words.get(word) or NUMBERED.get(word)
        if choice is None:
            raise RowError(f"unknown {name} {value!r} (expected a, b, tie or both_bad)")
        return choice, None
    return None


def annotator_of(entry: dict[str, Any], context: RowContext, *, aggregate: bool = False) -> Encoded:
    """Return the annotator of a label or a score.

    A name is one annotator wherever it appears. A judge called MODEL/PROTOCOL is that model under that
    protocol; an aggregate (a mean or majority in place of single opinions) is nobody's own judgement.
    """
    name, kind = entry.get("annotator"), entry.get("source") or "human"
    if type(name) is int:
        name = str(name)
    group, simulated = entry.get("rater_group") or "", entry.get("simulated") in TRUE
    key = (name, kind, group, simulated, aggregate)
    found = context.annotators.get(key)
    if found is None:
        found = context.annotators[key] = encode(_new_annotator(name, kind, group, simulated, aggregate))
    return found


def _new_annotator(name: Any, kind: Any, group: Any, simulated: bool, aggregate: bool) -> Annotator:
    if kind not in ("human", "judge"):
        raise RowError(f"unknown source {kind!r} of a label (expected human or judge)")
    if not isinstance(name, str) or not name:
        raise RowError("a label names no annotator")
    fields: dict[str, Any] = {"rater_group": str(group), "simulated": simulated}
    if aggregate:
        fields["settings"] = {"aggregate": True}
    checked: Kind = kind
    if checked == "judge":
        model, _, protocol = name.partition("/")
        fields.update(model=model, protocol=protocol or None)
    return Annotator.of(checked, name, **fields)
