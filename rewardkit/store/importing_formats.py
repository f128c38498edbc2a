"""The formats of rows that are understood, each by its columns: comparisons, ratings, our own export.

The orientation of a comparison is canonical (see `Comparison`), that of a row is not: everything that
speaks of a side is turned when the row's A becomes the comparison's B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from rewardkit.store.importing_rows import (
    TRUE,
    TURNED,
    RowContext,
    RowError,
    annotator_of,
    meta_of,
    number_of,
    order_of,
    other_side,
    prompt_of,
    response_of,
    split_of,
    text_of,
    verdict_of,
    whole_of,
)
from rewardkit.store.importing_trl import preference_row
from rewardkit.store.rows import KINDS, Encoded, ExternalId, comparison_row, encode
from rewardkit.types import Annotator, Comparison, Label, Prompt, Rating, Record, Response

Parser = Callable[[dict[str, Any], RowContext], list[Encoded]]

UNDERSTOOD = frozenset({"annotator", "source", "preference", "choice", "winner", "order", "rater_group", "simulated"})
NUMBERS: dict[str, Callable[[Any, str], float]] = {
    "strength": number_of,
    "repeat": whole_of,
    "sampling_prob": number_of,
    "seconds": number_of,
}
TEXTS = ("rationale", "guideline_version", "created_at")


@dataclass(frozen=True)
class Format:
    """A kind of row.

    Attributes:
        needs: The columns by which it is recognised; all must be there.
        takes: Further columns that it understands.
        parse: From a row to records; raises RowError for a bad one.
        complete: Whether a row carries all the records that it names.
        only: Whether no other columns may stand beside these: what they say would be lost.
    """

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    parse: Parser
    complete: bool = True
    only: bool = False


def parse_comparison(row: dict[str, Any], context: RowContext) -> list[Encoded]:
    """Read a row with response_a and response_b: labels in a list, or one label in its own columns."""
    prompt = prompt_of(row, context)
    prompt_id = prompt[1][0]
    first, second = response_of(row, "a", prompt_id), response_of(row, "b", prompt_id)
    ids = first[1][0], second[1][0]
    if row["response_a"] == row["response_b"]:
        raise RowError("the two responses are identical")
    flipped = ids[0] > ids[1]
    metadata = meta_of(row, flipped=flipped)
    ordered, split = ids[::-1] if flipped else ids, split_of(row.get("split"))
    comparison = comparison_row(prompt_id, ordered, context.source, metadata, split)
    comparison_id = comparison[1][0]
    rows = [prompt, first, second, comparison]
    for entry in _entries(row, context):
        annotator = annotator_of(entry, context)
        rows += (annotator, _label(entry, comparison_id, annotator[1][0], context, flipped=flipped))
    return rows + context.external(row, "comparison", comparison_id)


def _entries(row: dict[str, Any], context: RowContext) -> list[dict[str, Any]]:
    labels = row.get("labels")
    if labels is None:
        if verdict_of(row, context.words) is None:
            return []
        own = {name: row[name] for name in FLAT_LABEL if row.get(name) not in (None, "")}
        return [{"annotator": context.source, **own}]
    if not isinstance(labels, list) or not all(isinstance(entry, dict) for entry in labels):
        raise RowError("labels is not a list of labels")
    return labels


def _label(
    entry: dict[str, Any], comparison_id: str, annotator_id: str, context: RowContext, *, flipped: bool
) -> Encoded:
    verdict = verdict_of(entry, context.words)
    if verdict is None:
        raise RowError("a label has neither a preference nor a choice")
    choice, p_a = verdict
    order = order_of(entry.get("order"))
    if flipped:
        choice, p_a = TURNED[choice], None if p_a is None else 1.0 - p_a
        order = None if order is None else "ba" if order == "ab" else "ab"
    if p_a is None and UNDERSTOOD.issuperset(entry):
        return context.plain_labels.row(comparison_id, annotator_id, choice, order)
    fields = _details(entry, flipped=flipped)
    return encode(Label.of(comparison_id, annotator_id, choice=choice, p_a=p_a, order_shown=order, **fields))


def _details(entry: dict[str, Any], *, flipped: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for name, value in entry.items():
        if name in UNDERSTOOD or value is None or value == "":
            continue
        if name == "aggregate":
            # As for ratings: it is marked where it is true, and nothing is said where it is not.
            metadata |= {name: True} if value in TRUE else {}
        elif name in NUMBERS:
            fields[name] = NUMBERS[name](value, name)
        elif name in TEXTS:
            fields[name] = value
        else:
            metadata[other_side(name) if flipped else name] = value
    if fields.get("strength") == 0:
        del fields["strength"]
    if flipped and fields.get("rationale"):
        # Its words ("the first is better") cannot be turned with the rest.
        metadata["rationale_order"] = "ba"
    return {**fields, "metadata": metadata}


def parse_rating(row: dict[str, Any], context: RowContext) -> list[Encoded]:
    """Read a row with one response and a list of scores."""
    prompt = prompt_of(row, context)
    text = text_of(row.get("response"), "response")
    response = Response.of(prompt[1][0], text, model=row.get("model") or None, metadata=meta_of(row))
    rows = [prompt, encode(response)]
    scores = row.get("scores")
    if not isinstance(scores, list) or not all(isinstance(entry, dict) for entry in scores):
        raise RowError("scores is not a list of scores")
    for entry in scores:
        annotator = annotator_of(entry, context, aggregate=entry.get("aggregate") in TRUE)
        rows.append(annotator)
        rows += map(encode, _ratings(entry, response.id, annotator[1][0]))
    return rows + context.external(row, "response", response.id)


def parse_response(row: dict[str, Any], context: RowContext) -> list[Encoded]:
    """Read a row with one response about which nothing is said yet."""
    return parse_rating({**row, "scores": []}, context)


def _ratings(entry: dict[str, Any], response_id: str, annotator_id: str) -> Iterator[Rating]:
    criteria, scale = entry.get("criteria"), entry.get("scale")
    if not isinstance(criteria, dict):
        raise RowError("a score has no criteria")
    if not isinstance(scale, (list, tuple)) or len(scale) != 2:
        raise RowError("a score has no scale [lowest, highest]")
    low, high = (number_of(end, "scale") for end in scale)
    fields = {
        "scale": (low, high),
        "repeat": whole_of(entry.get("repeat") or 0, "repeat"),
        "rationale": entry.get("rationale") or "",
    }
    for criterion, value in criteria.items():
        if value is None:
            continue
        number = number_of(value, f"the rating on {criterion}")
        if not low <= number <= high:
            raise RowError(f"the rating {number:g} on {criterion} is outside its scale {low:g} to {high:g}")
        yield Rating.of(response_id, annotator_id, criterion, value=number, **fields)


def parse_trl(row: dict[str, Any], context: RowContext) -> list[Encoded]:
    """Read a row with chosen and rejected, in any of TRL's preference formats."""
    return parse_comparison(preference_row(row), context)


def parse_export(row: dict[str, Any], context: RowContext) -> list[Encoded]:
    """Read a record that rewardkit exported."""
    kind = next((kind for kind in KINDS.values() if kind.name == row["kind"]), None)
    if kind is None:
        raise RowError(f"unknown kind {row['kind']!r} of a record")
    record = kind.model.model_validate(row["record"])
    if not isinstance(record, ExternalId) and cast(Any, record).id != _content_id(record):
        raise RowError("the id is not that of the content: the record was changed after it was exported")
    return [encode(record)]


def _content_id(record: Record) -> str:
    """Work the id out again, as the record's class does."""
    if isinstance(record, Prompt):
        return Prompt.of(record.messages).id
    if isinstance(record, Response):
        return Response.of(record.prompt_id, record.text, model=record.model).id
    if isinstance(record, Comparison):
        # Comparison.of would turn a wrong orientation, and hide it.
        ordered = record.response_a < record.response_b
        return Comparison.identity(record.prompt_id, record.response_a, record.response_b) if ordered else ""
    fields = {name: value for name, value in record if name != "id"}
    if isinstance(record, Annotator):
        return Annotator.of(fields.pop("kind"), fields.pop("name"), **fields).id
    if isinstance(record, Label):
        return Label.of(fields.pop("comparison_id"), fields.pop("annotator_id"), **fields).id
    response_id, annotator_id, criterion = (fields.pop(name) for name in ("response_id", "annotator_id", "criterion"))
    return Rating.of(response_id, annotator_id, criterion, **fields).id


FLAT_LABEL = (
    "annotator", "source", "preference", "choice", "winner", "strength", "order", "rationale", "repeat",
    "rater_group", "simulated", "sampling_prob", "seconds", "guideline_version", "created_at", "score_a", "score_b",
    "aggregate", "n_raters",
)  # fmt: skip
SHARED = ("id", "task", "meta")

FORMATS: Mapping[str, Format] = {
    "export": Format(("kind", "record"), (), parse_export, complete=False),
    "comparisons": Format(
        ("prompt", "response_a", "response_b"),
        ("labels", "split", *FLAT_LABEL, *SHARED, "model_a", "model_b"),
        parse_comparison,
    ),
    "ratings": Format(("prompt", "response", "scores"), (*SHARED, "model"), parse_rating),
    # A column of numbers beside them would be a rating, which has another layout.
    "responses": Format(("prompt", "response"), (*SHARED, "model"), parse_response, only=True),
    "trl": Format(
        ("chosen", "rejected"), ("prompt", "score_chosen", "score_rejected", *FLAT_LABEL, *SHARED), parse_trl
    ),
}
