"""Guideline memory: short notes beside a rubric, each proposed by somebody and approved or rejected by a person.

Only approved notes reach a judge. They stand after the rubric's description, so that the rubric's hash, and with it the
annotator, changes with them: labels say by which notes they were made.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewardkit.errors import ConfigError
from rewardkit.judge.prompting import neutralise, read_prompt
from rewardkit.judge_config import JudgeConfig
from rewardkit.registry import suggestion
from rewardkit.rubric import Rubric, load_rubric
from rewardkit.types import content_id
from rewardkit.yaml_records import read_record

FIRST = ("id", "text", "status", "by", "at")
Status = Literal["proposed", "approved", "rejected"]
HEAD = """\
# Notes for a judge, written by `rewardkit notes CONFIG`. Only approved ones reach it.
# To decide on a note, set its status to approved or rejected, and say by whom and when; or
#     rewardkit notes CONFIG --approve ID --by NAME
# Decisions are never changed by the command; comments in this file are not kept.
"""


class Decision(BaseModel):
    """What somebody decided about a note."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    by: str = ""
    at: datetime | None = None


class Note(Decision):
    """One note.

    Attributes:
        id: Of its words when it was proposed; it stays when they are changed.
        text: What the judge is told.
        status: Whether it is told.
        by: Who decided that.
        at: When.
        proposed_by: The judge's model that proposed it; empty where a person wrote it.
        proposed_at: When.
        comparisons: Ids of those from which it was distilled.
        earlier: Decisions that were changed since.
    """

    id: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,40}$")
    text: Annotated[str, Field(min_length=3, max_length=500)]
    status: Status = "proposed"
    proposed_by: str = ""
    proposed_at: datetime | None = None
    comparisons: tuple[str, ...] = ()
    earlier: tuple[Decision, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Name a note that a person wrote without an id."""
        if isinstance(data, dict) and not data.get("id") and isinstance(data.get("text"), str):
            return {**data, "id": note_id(data["text"])}
        return data

    @model_validator(mode="after")
    def _decided_by_somebody(self) -> Note:
        if self.status != "proposed" and not (self.by and self.at):
            raise ValueError(f"it is {self.status}, and nothing says by whom and when: add by: NAME and at: DATE")
        return self


class Notes(BaseModel):
    """A file of notes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    version: Annotated[int, Field(ge=0)] = 0
    notes: tuple[Note, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Notes:
        ids = [note.id for note in self.notes]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"two notes have the id {twice[0]!r}")
        return self

    def of(self, status: Status) -> tuple[Note, ...]:
        """Return the notes of one status."""
        return tuple(note for note in self.notes if note.status == status)

    def joined(self, proposals: Iterable[Note]) -> Notes:
        """Return the notes with proposals: what a person decided stays as it is, and a note is proposed once."""
        known = {note.id: note for note in self.notes}
        for proposal in proposals:
            there = known.get(proposal.id)
            if there is None:
                known[proposal.id] = proposal
            elif there.status == "proposed":
                both = tuple(dict.fromkeys((*there.comparisons, *proposal.comparisons)))
                known[proposal.id] = there.model_copy(update={"comparisons": both})
        return self._changed(tuple(known.values()))

    def decided(self, note: str, decision: Decision) -> Notes:
        """Return the notes with a person's decision on one of them.

        Args:
            note: Its id, or the beginning of it.
            decision: What, by whom and when; the note's earlier decision is kept beside it.

        Raises:
            ConfigError: There is no such note, or there are several.
        """
        found = [each for each in self.notes if each.id == note] or [e for e in self.notes if e.id.startswith(note)]
        if len(found) != 1:
            ids = {each.id: each for each in self.notes}
            raise ConfigError(
                f"{'several notes begin' if found else 'no note has an id that begins'} with {note!r}",
                where="--approve or --reject",
                expected=", ".join(ids) or "no note is there",
                fix=suggestion(note, ids),
            )
        (chosen,) = found
        before = Decision(status=chosen.status, by=chosen.by, at=chosen.at)
        earlier = chosen.earlier if chosen.status == "proposed" else (*chosen.earlier, before)
        after = chosen.model_copy(update={**dict(decision), "earlier": earlier})
        return self._changed(tuple(after if each.id == chosen.id else each for each in self.notes))

    def as_yaml(self) -> str:
        """Return the file's text."""
        notes = [note.model_dump(mode="json", exclude_defaults=True) for note in self.notes]
        # What a person looks for comes first, and the status is always there to be changed.
        shown = [
            {**dict.fromkeys(FIRST), **each, "status": note.status}
            for each, note in zip(notes, self.notes, strict=True)
        ]
        data = {
            "schema_version": self.schema_version,
            "version": self.version,
            "notes": [_given(each) for each in shown],
        }
        return HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)

    def _changed(self, notes: tuple[Note, ...]) -> Notes:
        if notes == self.notes:
            return self
        return self.model_copy(update={"notes": notes, "version": self.version + 1})


def _given(note: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in note.items() if value is not None}


def note_id(text: str) -> str:
    """Return the id of a note of these words, whatever their case, space and full stop."""
    return content_id("note", " ".join(text.casefold().split()).rstrip(". "))[:10]


def load_notes(path: Path) -> Notes:
    """Read a file of notes.

    Raises:
        ConfigError: There is none, it cannot be read, or it holds something else.
    """
    if not path.exists():
        raise ConfigError(
            "the file of notes does not exist",
            where=str(path),
            fix="rewardkit notes CONFIG begins one, or leave judge.notes out",
        )
    expected = "schema_version, version and notes, each with text and status (proposed, approved or rejected)"
    return read_record(path, Notes, "file of notes", expected=expected)


def guided_rubric(config: JudgeConfig) -> Rubric:
    """Return the rubric that a config names, with the approved ones of its notes.

    Raises:
        ConfigError: There is no such rubric or file of notes, or one of them is none.
    """
    rubric = load_rubric(config.rubric)
    return rubric if config.notes is None else with_notes(rubric, load_notes(Path(config.notes)))


def with_notes(rubric: Rubric, notes: Notes) -> Rubric:
    """Return a rubric with approved notes after its description; as it is where there is none."""
    approved = [f"- {neutralise(' '.join(note.text.split()))}" for note in notes.of("approved")]
    if not approved:
        return rubric
    head = read_prompt("notes.v1").sections["shown"]
    description = "\n".join([rubric.description.strip(), "", head, *approved])
    return rubric.model_copy(update={"description": description})
