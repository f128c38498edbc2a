"""Export: the store's records as files, for rewardkit itself and for trainers of other projects.

An exporter is a function of a store and a place; the file appears when all of it is written. Third
parties add one through the entry point group `rewardkit.exporters`.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import orjson

from rewardkit.errors import OutputError
from rewardkit.registry import lookup
from rewardkit.runs import atomic_writer, make_folder
from rewardkit.store.exporting_contract import Exporter, ExportSummary
from rewardkit.store.exporting_labels import export_labels
from rewardkit.store.exporting_tables import export_parquet, write_preferences
from rewardkit.store.importing_files import LABELS, MAJORITIES
from rewardkit.store.rows import KINDS, ComparisonTexts
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Message, Record

CARD = """---
configs:
- config_name: labels
  default: true
  data_files: data/labels.parquet
- config_name: preferences
  data_files: data/preferences.parquet
---

`labels`: one row a label. `source` tells people (human) from models (judge), `simulated` those that were neither.
`preference` is a, b, tie, both_bad, or empty where `status` is not ok. `order` tells which response stood first,
`sampling_prob` with what probability the item was routed to the annotator.

`preferences`: what most people chose (an adjudicator's word goes before theirs; people before simulated ones, and those
before judges), as chosen and rejected messages; where no choice was made more often than every other there is no row.
"""

# How names of a format's files end; what a third party registers is taken to be JSON Lines.
ENDINGS = {"parquet": ".parquet", "labels": ".parquet", "dataset": ""}
WRITTEN_AS = {".jsonl": "JSON Lines", ".parquet": "Parquet"}
# The rater group of those who decide where annotators disagree.
ADJUDICATOR = "adjudicator"
OTHERS = (".parquet", ".csv", ".tsv", ".arrow", ".gz", ".jsonl")


def export(store: Store, target: str | Path, format_: str) -> ExportSummary:
    """Write a store's records in a registered format.

    Args:
        store: What is exported.
        target: A file, or a folder in which a file named after the format is made; for a dataset, its folder.
        format_: A name in EXPORTERS, or one that a third party registered.

    Raises:
        ConfigError: There is no such format.
        OutputError: The place cannot be written, or is the store's own database; nothing has been written.
    """
    exporter = lookup("exporters", EXPORTERS, format_)
    path, ending = Path(target), ENDINGS.get(format_, ".jsonl")
    _refuse_other_kinds(path, ending)
    # Unlike Path.is_dir, this raises nothing where a folder above may not be entered: the writer tells it.
    place = path / f"{format_}{ending}" if ending and os.path.isdir(path) else path
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


def _refuse_other_kinds(target: Path, ending: str) -> None:
    """Refuse names that promise another kind of file than is written."""
    if target.name == "-" or target.suffix.lower() in OTHERS and target.suffix.lower() != ending:
        expected = f"a name such as out{ending}, or a folder" if ending else "the name of a new folder"
        meant = next((name for name, other in ENDINGS.items() if other and other == target.suffix.lower()), None)
        raise OutputError(
            f"the export is written as {WRITTEN_AS.get(ending, 'a folder')}",
            where=str(target),
            expected=expected,
            fix=f"or ask for that: --format {meant}" if meant else "",
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

    Adjudicators decide alone; else humans where there are any, simulated ones where no other said anything, and judges
    only where there are none.

    References:
        TRL, "Dataset formats and types": preference, conversational, explicit prompt.
    """
    written, skipped = 0, Counter[str]()
    with atomic_writer(path) as file:
        for preference in _preferences(store, skipped):
            file.write(orjson.dumps(preference) + b"\n")
            written += 1
    return ExportSummary(path, {"comparisons": written}, dict(skipped))


def _preferences(store: Store, skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield comparisons that one side has won; count the others."""
    for texts, winner in majorities(store):
        if winner in ("a", "b"):
            yield _preference(texts, winner)
        else:
            skipped[winner] += 1


def export_dataset(store: Store, path: Path) -> ExportSummary:
    """Write a folder that `datasets.load_dataset(FOLDER, "labels")` reads (or "preferences").

    Raises:
        OutputError: There is something at that place already.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise OutputError("there is something already", where=str(path), expected="a new or empty folder")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        labels = export_parquet(store, draft / "data" / LABELS)
        skipped = Counter[str]()
        won = write_preferences(draft / "data" / MAJORITIES, _preferences(store, skipped))
        with atomic_writer(draft / "README.md") as file:
            file.write(CARD.encode())
        make_folder(path.parent)
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ExportSummary(path, {**labels.written, "comparisons": won}, dict(skipped))


Outcome = Literal["a", "b", "ties", "unlabelled"]


def majorities(store: Store) -> Iterator[tuple[ComparisonTexts, Outcome]]:
    """Iterate over comparisons with what most of their labels say (memory: one comparison)."""
    annotators = store.annotators()
    groups = groupby(store.labels(), key=attrgetter("comparison_id"))
    waiting = next(groups, None)
    for texts in store.comparisons():
        labels: list[Label] = []
        while waiting is not None and waiting[0] <= texts.comparison.id:
            labels = list(waiting[1]) if waiting[0] == texts.comparison.id else []
            waiting = next(groups, None)
        yield texts, _majority(labels, annotators)


def _majority(labels: list[Label], annotators: Mapping[str, Annotator]) -> Outcome:
    """Return the choice that was made more often than every other one, neither and both bad among them."""
    # Somebody who is asked again tells how consistent they are, and has one vote.
    said = [label for label in labels if label.status == "ok" and label.choice is not None and not label.repeat]
    if not said:
        return "unlabelled"
    ranks = [_rank(label, annotators[label.annotator_id]) for label in said]
    votes = Counter(label.choice for label, rank in zip(said, ranks, strict=True) if rank == min(ranks))
    (leading, most), *others = votes.most_common()
    if leading not in ("a", "b") or any(count == most for _, count in others):
        return "ties"
    return "a" if leading == "a" else "b"


def _rank(label: Label, annotator: Annotator) -> int:
    """Return whose word goes first: adjudicators, people, simulated people, judges."""
    if annotator.rater_group == ADJUDICATOR or label.metadata.get("adjudicates"):
        return 0
    return 3 if annotator.kind == "judge" else 2 if annotator.simulated else 1


def _preference(texts: ComparisonTexts, winner: Outcome) -> dict[str, Any]:
    a, b = (_reply(response.text) for response in (texts.response_a, texts.response_b))
    chosen, rejected = (a, b) if winner == "a" else (b, a)
    return {"prompt": [_message(m) for m in texts.prompt.messages], "chosen": chosen, "rejected": rejected}


def _reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


EXPORTERS: dict[str, Exporter] = {
    "jsonl": export_records,
    "trl": export_trl,
    "parquet": export_parquet,
    "labels": export_labels,
    "dataset": export_dataset,
}
