"""A file that a researcher brings: looked at first, then taken into the store and the study.

Both go through the product's own importer. Looking imports into a scratch database, which shows every reject before
anything changes, and tells exactly which comparisons and human labels this file holds.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from labeling_ui.candidates import ItemRole
from labeling_ui.choosing import Ids, known_answers, sets_of
from labeling_ui.pairing import pairs_of
from labeling_ui.people import Refused
from labeling_ui.stock import add_items
from labeling_ui.study import Study
from labeling_ui.trail import note
from labeling_ui.upload_words import remarks
from rewardkit.config import ImportConfig
from rewardkit.store.importing import ImportSummary, import_files
from rewardkit.store.importing_detect import Plan, plan_import
from rewardkit.store.importing_files import read_rows
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.types import Choice, Comparison

FIRST_ROWS = 5
REJECTS = "rejects-{token}.jsonl"


@dataclass(frozen=True)
class Upload:
    """A file and how it is to be understood.

    Attributes:
        path: The file.
        source: Name of the data set.
        columns: Field of rewardkit: column of the file, where they differ.
        token: Names the file of its rejected rows.
    """

    path: Path
    source: str
    columns: Mapping[str, str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True)
class Look:
    """What is in a file.

    Attributes:
        plan: Its format and columns.
        rows: The first rows, as they are.
        summary: What an import of it makes.
        sets: What could be labelled.
        answers: Comparisons on which the file's human labels agree, with the answer.
        pairs: Comparisons that are formed of its responses, where nothing is compared in it.
    """

    plan: Plan
    rows: tuple[Mapping[str, Any], ...]
    summary: ImportSummary
    sets: tuple[Ids, ...]
    answers: Mapping[Ids, Choice]
    pairs: tuple[Comparison, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """What a researcher would want to know before they take the file in."""
        return list(remarks(self.plan, len(self.pairs)))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Columns of the file, and what each is taken for."""
        of_column = {column: field for field, column in self.plan.columns.items()}
        used = {*self.plan.format.needs, *self.plan.format.takes}
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        return [(name, of_column.get(name, name if name in used else "")) for name in names]


@dataclass(frozen=True)
class Taken:
    """What became of a file.

    Attributes:
        summary: Of the import.
        found: What could have become an item.
        added: Items that are new in the study.
        elsewhere: What was left out, as the study has it in another role.
        paired: Comparisons that were formed of the file's responses.
    """

    summary: ImportSummary
    found: int
    added: int
    elsewhere: int
    paired: int = 0


@dataclass(frozen=True)
class Uploads:
    """Takes files into one study.

    Attributes:
        store: Gets the records.
        folder: Where rejected rows are kept until the server stops.
    """

    store: Store
    folder: Path

    def look(self, upload: Upload, study: Study) -> Look:
        """Look at a file, and change nothing.

        Raises:
            DataError: It is of no known format, or every row was rejected; the rejects are kept.
        """
        plan = plan_import([upload.path], upload.source, upload.columns)[0]
        rows = tuple(row.data for row in islice(read_rows(upload.path), FIRST_ROWS) if row.data is not None)
        with self._scratch(upload) as (scratch, summary):
            compared = [each.comparison for each in scratch.comparisons()]
            # As at the start of a server: responses that nobody has compared are paired, those of one prompt.
            pairs = () if compared else tuple(pairs_of(scratch, study.config.pairs_per_prompt))
            sets = tuple(sets_of(compared or pairs, study.config.task))
            return Look(plan, rows, summary, sets, known_answers(scratch), pairs)

    def take(  # noqa: PLR0913 - keyword-only past the second
        self, upload: Upload, study: Study, *, role: ItemRole, priority: int, by: str, at: float
    ) -> Taken:
        """Import a file, and add what it holds to the study.

        Args:
            upload: The file.
            study: Gets the items.
            role: work, or gold: comparisons on which the file's human labels agree, which are the right answers. What
                the study has in another role stays in that one alone.
            priority: Smaller numbers come first.
            by: The researcher's id.
            at: Now, in seconds since 1970.

        Raises:
            Refused: There is nothing in it for this role.
            DataError: It is of no known format, or every row was rejected.
        """
        look = self.look(upload, study)
        held = list(look.answers) if role == "gold" else list(look.sets)
        _require_some(held, role, study)
        elsewhere = _in_other_roles(self.store, study.name, role)
        sets = [ids for ids in held if ids not in elsewhere]
        if not sets:
            raise Refused("all that the file holds for this is in the study already, in another role")
        summary = self._import(self.store, upload)
        self.store.add(look.pairs)
        expected = look.answers if role == "gold" else None
        task = "comparison" if role == "gold" else study.config.task
        added = add_items(self.store, study, sets, task=task, role=role, expected=expected, priority=priority)
        details = {"source": upload.source, "role": role, "priority": priority, "items": added}
        with self.store.writing() as connection:
            counts = {"records": dict(summary.added), "rejected": summary.rejected}
            note(connection, "imported", study=study.name, at=at, person_id=by, **details, **counts)
        return Taken(summary, len(sets), added, len(held) - len(sets), len(look.pairs))

    @contextmanager
    def _scratch(self, upload: Upload) -> Iterator[tuple[Store, ImportSummary]]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, Store.open(Path(folder) / "scratch.db") as scratch:
            yield scratch, self._import(scratch, upload)

    def _import(self, store: Store, upload: Upload) -> ImportSummary:
        options = ImportConfig(files=(str(upload.path),), source=upload.source, map=dict(upload.columns))
        return import_files(store, [upload.path], options, rejects=self.folder / REJECTS.format(token=upload.token))


def columns_of(text: str) -> dict[str, str]:
    """Read a mapping as people write it: one `field=column` a line.

    Raises:
        Refused: A line is not of that form.
    """
    found = {}
    for line in filter(str.strip, text.splitlines()):
        field, equals, column = (part.strip() for part in line.partition("="))
        if not (field and equals and column):
            raise Refused(f"{line.strip()!r} names no column", fix="write field=column, one a line")
        found[field] = column
    return found


def _in_other_roles(store: Store, study: str, role: ItemRole) -> set[Ids]:
    """Return what a study has in other roles: an answer that is given as work would tell what is right as gold."""
    query = sa.select(items.c.responses).where(items.c.study == study, items.c.role != role)
    with store.reading() as connection:
        return {tuple(responses) for responses in connection.execute(query).scalars()}


def _require_some(sets: list[Ids], role: ItemRole, study: Study) -> None:
    if role == "gold" and study.config.task != "comparison":
        raise Refused(f"gold is for comparisons, and this study asks for a {study.config.task}")
    if not sets and role == "gold":
        raise Refused(
            "the file has no comparison on which human labels agree, so that no right answer is known",
            fix="add the labels to the file, or add it as work",
        )
    if not sets:
        what = f"the file holds nothing for a {study.config.task}: no prompt has several responses"
        raise Refused(what, fix="give each prompt two responses or more, in rows of their own or side by side")
