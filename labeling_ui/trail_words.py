"""The audit trail in the words of whoever reads it: who did it, whom it concerned, what it was.

The trail keeps short names and ids, which programs find again; ids that tell a reader nothing stand apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from labeling_ui.settings import NAMES, POLICY

KINDS = {
    "active": "resumed",
    "adjudicated": "decided a disagreement",
    "answered": "answered",
    "arrived": "came from Prolific",
    "break began": "began a break",
    "break ended": "ended a break",
    "checked": "answered the questions",
    "consented": "agreed",
    "erased": "erased a person",
    "expired": "ran out of time",
    "exported": "downloaded",
    "imported": "brought a file",
    "judge kept": "kept a judge’s labels",
    "judges measured": "measured the judges",
    "password set": "got a password",
    "refused": "was refused",
    "returned": "skipped an item",
    "reviewed": "reviewed an answer",
    "revised": "changed an answer",
    "settled": "changed the settings",
}
CONCERNING = ("paused", "active", "erased")
"""What researchers do to somebody: the event stands under that person, and names the researcher."""
LONGEST = 500
BEARERS = frozenset({"lease", "token", "conversation", "item", "label", "response"})
"""Names under which nothing but an id stands."""
_ID = re.compile(r"[0-9a-f]{12,64}|erased-[0-9a-f]+")


Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Told:
    """One event, as it is read.

    Attributes:
        at: When, in seconds since 1970.
        who: Did it; empty where nobody did, or it is not known.
        what: They did.
        more: What else is worth knowing: name and value.
        ids: What programs find it by: name and value.
    """

    at: float
    who: str
    what: str
    more: tuple[tuple[str, str], ...]
    ids: tuple[tuple[str, str], ...]


def kind_name(kind: str) -> str:
    """Return what a kind of event is called."""
    return KINDS.get(kind, kind)


def ids_of(details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what may be the id of a person in what is kept of an event."""
    yield from (value for value in details.values() if isinstance(value, str) and _ID.fullmatch(value))


def told(row: sa.Row[Any], names: Mapping[str, str]) -> Told:
    """Return an event in words.

    Args:
        row: The event, with the name of the person under whom it stands.
        names: Of people, by id.
    """
    details, who = dict(row.details), row.name or ""
    whom: list[tuple[str, str]] = []
    if row.kind in CONCERNING:
        by = details.pop("by", "")
        whom, who = [("whom", who)] if who else [], names.get(by, by)
    more, ids = _settled(details) if row.kind == "settled" else _sorted(details, names)
    return Told(row.at, who, kind_name(row.kind), (*whom, *more), tuple(ids))


def _settled(details: Mapping[str, Any]) -> tuple[Pairs, Pairs]:
    more = [(NAMES.get(name, name), _changed(name, pair)) for name, pair in details.items()]
    return more, [("versions", _said(details["guidelines"]))] if "guidelines" in details else []


def _sorted(details: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Pairs, Pairs]:
    """Return what people read, and what only programs do."""
    more: Pairs = []
    ids: Pairs = []
    for name, value in details.items():
        known = names.get(value) if isinstance(value, str) else None
        if known is None and (name in BEARERS or _is_id(value)):
            ids.append((name, _said(value)))
        elif value not in ("", None):
            more.append((name, known or _said(value)))
    return more, ids


def _changed(name: str, pair: Any) -> str:
    if name not in POLICY:
        return "new"
    before, after = (f"{100 * each:g} %" if name.startswith("gold") else f"{each}" for each in pair)
    return f"{before} → {after}"


def _is_id(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_id, value))
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{number} {name}" for name, number in value.items())
    else:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
