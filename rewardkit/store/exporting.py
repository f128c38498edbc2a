"""Export: the store's records as files, for rewardkit itself and for trainers of other projects.

An exporter is a function of a store and a place; the file appears when all of it is written. Third
parties add one through the entry point group `rewardkit.exporters`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import orjson

from rewardkit.errors import OutputError
from rewardkit.registry import lookup
from rewardkit.runs import atomic_writer
from rewardkit.store.rows import KINDS, ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Label, Message, Record


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Attributes:
        path: The file.
        written: Lines by kind.
        skipped: What was left out, by reason.
    """

    path: Path
    written: Mapping[str, int]
    skipped: Mapping[str, int] = field(default_factory=dict)


Exporter = Callable[[Store, Path], ExportSummary]


def export(store: Store, target: str | Path, format_: str) -> ExportSummary:
    """Write a store's records in a registered format.

    Args:
        store: What is exported.
        target: A file, or a folder in which a file named after the format is made.
        format_: A name in EXPORTERS, or one that a third party registered.

    Raises:
        ConfigError: There is no such format.
        OutputError: The place cannot be written, or is the store's own database; nothing has been written.
    """
    _refuse_other_kinds(Path(target))
    exporter = lookup("exporters", EXPORTERS, format_)
    path = Path(target)
    # Unlike Path.is_dir, this raises nothing where a folder above may not be entered: the writer tells it.
    place = path / f"{format_}.jsonl" if os.path.isdir(path) else path
    _refuse_database(place, store.files)
    return exporter(store, place)


def _refuse_database(place: Path, files: tuple[Path, ...]) -> None:
    """Refuse a place whose content the export is made of."""
    for file in files:
        # A hard link has another path, and the side files come and go.
        linked = os.path.exists(place) and os.path.exists(file) and os.path.samefile(place, file)
        if linked or os.path.realpath(place) == str(file):
            raise OutputError(
                "the export would replace the database that is exported",
                where=str(place),
                fix="name another file",
            )


def _refuse_other_kinds(target: Path) -> None:
    """Refuse names that promise another kind of file than JSON Lines."""
    if target.name == "-" or target.suffix.lower() in (".parquet", ".csv", ".tsv", ".arrow", ".gz"):
        raise OutputError(
            "the export is written as JSON Lines", where=str(target), expected="a name such as out.jsonl, or a folder"
        )


def export_records(store: Store, path: Path) -> ExportSummary:
    """Write every record as one line {"kind", "record"}: importing it gives the same store."""
    written: Counter[str] = Counter()
    with atomic_writer(path) as file:
        for name, record in _all_records(store):
            line = {"kind": KINDS[name].name, "record": record.model_dump(mode="json")}
            file.write(orjson.dumps(line) + b"\n")
            written[name] += 1
    return ExportSummary(path, dict(written))


def _all_records(store: Store) -> Iterator[tuple[str, Record]]:
    """Iterate over all records, each after those that it names."""
    for name in KINDS:
        for record in store.records(name):
            yield name, record


def export_trl(store: Store, path: Path) -> ExportSummary:
    """Write what the majority chose as TRL's conversational preferences (prompt, chosen, rejected).

    Humans decide where there are any; judges only where there are none.

    References:
        TRL, "Dataset formats and types": preference, conversational, explicit prompt.
    """
    written, skipped = 0, Counter[str]()
    with atomic_writer(path) as file:
        for texts, winner in majorities(store):
            if winner in ("a", "b"):
                file.write(orjson.dumps(_preference(texts, winner)) + b"\n")
                written += 1
            else:
                skipped[winner] += 1
    return ExportSummary(path, {"comparisons": written}, dict(skipped))


Outcome = Literal["a", "b", "ties", "unlabelled"]


def majorities(store: Store) -> Iterator[tuple[ComparisonTexts, Outcome]]:
    """Iterate over comparisons with what most of their labels say (memory: one comparison)."""
    humans = {annotator.id for annotator in store.annotators().values() if annotator.kind == "human"}
    groups = groupby(store.labels(), key=attrgetter("comparison_id"))
    waiting = next(groups, None)
    for texts in store.comparisons():
        labels: list[Label] = []
        while waiting is not None and waiting[0] <= texts.comparison.id:
            labels = list(waiting[1]) if waiting[0] == texts.comparison.id else []
            waiting = next(groups, None)
        yield texts, _majority(labels, humans)


def _majority(labels: list[Label], humans: set[str]) -> Outcome:
    said = [label for label in labels if label.status == "ok" and label.choice is not None]
    votes = Counter(label.choice for label in [x for x in said if x.annotator_id in humans] or said)
    if not votes:
        return "unlabelled"
    if votes["a"] == votes["b"]:
        return "ties"
    return "a" if votes["a"] > votes["b"] else "b"


def _preference(texts: ComparisonTexts, winner: Outcome) -> dict[str, Any]:
    a, b = (_reply(response.text) for response in (texts.response_a, texts.response_b))
    chosen, rejected = (a, b) if winner == "a" else (b, a)
    return {"prompt": [_message(m) for m in texts.prompt.messages], "chosen": chosen, "rejected": rejected}


def _reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


EXPORTERS: dict[str, Exporter] = {"jsonl": export_records, "trl": export_trl}
