"""What researchers settle while a study runs: kept in the database, before what the config says, at once and for good.

Guidelines that change have another version: annotators read and agree to them before their next item. Another overlap
changes the items that are there, so far as their labels allow: what was labelled stays labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from pydantic import Field, ValidationError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from labeling_ui.answers import Form
from labeling_ui.desk import Desk
from labeling_ui.leases import lock_items
from labeling_ui.people import Refused
from labeling_ui.study import Study, page_of
from labeling_ui.trail import note
from rewardkit.complaints import complaint
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import items, studies
from rewardkit.store.store import Store

LONGEST_GUIDELINES = 50_000


class Settings(Form):
    """What was settled in the page; None leaves it to the config.

    Attributes:
        overlap: Labels that each item gets.
        most_overlap: Labels that a comparison gets at most.
        gold_early: Share of gold among an annotator's first turns.
        gold_late: Share that it decays to.
        guidelines: In Markdown.
    """

    overlap: int | None = None
    most_overlap: int | None = None
    gold_early: float | None = None
    gold_late: float | None = None
    guidelines: str | None = Field(None, min_length=1, max_length=LONGEST_GUIDELINES)


POLICY = ("overlap", "most_overlap", "gold_early", "gold_late")
NAMES = {
    "overlap": "labels for each item",
    "most_overlap": "labels at most, where annotators disagree",
    "gold_early": "gold at first",
    "gold_late": "gold later",
    "guidelines": "guidelines",
}
"""What the form calls them."""


def read_settings(store: Store, study: str) -> Settings:
    """Return what was settled for a study."""
    with store.reading() as connection:
        found = connection.execute(sa.select(studies.c.settings).where(studies.c.name == study)).scalar()
    return Settings.model_validate(found or {})


def settled(study: Study, settings: Settings) -> Study:
    """Return a study as it was settled.

    Raises:
        Refused: The settings do not fit together.
    """
    changed = {name: value for name in POLICY if (value := getattr(settings, name)) is not None}
    values = {**study.config.assignment.model_dump(), **changed}
    if values["most_overlap"] < values["overlap"]:
        most, least = values["most_overlap"], values["overlap"]
        what = f"an item cannot want {least} labels and, where annotators disagree, {most} at most"
        raise Refused(what, fix="raise the one, or lower the other")
    try:
        policy = AssignmentConfig.model_validate(values)
    except ValidationError as error:
        raise _unfit(error) from error
    config = study.config.model_copy(update={"assignment": policy})
    guidelines = study.guidelines if settings.guidelines is None else page_of(settings.guidelines)
    return replace(study, config=config, guidelines=guidelines)


def overruled(study: Study, settings: Settings) -> Iterator[str]:
    """Yield a sentence for each key whose value in the config does not hold.

    Args:
        study: As its config has it.
        settings: What was settled since.
    """
    for name, (configured, holds) in _differences(study, settled(study, settings)).items():
        if name in POLICY:
            yield f"{name} is {holds:g}, as set on the researchers' page; the config says {configured:g}"
        else:
            yield f"the {name} are those of the researchers' page; the config has others"


def change_settings(desk: Desk, by: str, changes: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settle something anew; it holds from the next item on.

    Args:
        desk: Whose study it is.
        by: The researcher's id.
        changes: Fields of `Settings`, with their new values.

    Returns:
        What is different now: earlier and new value, by field.

    Raises:
        Refused: The settings do not fit together.
    """
    study = desk.study
    with desk.store.writing() as connection:
        old = _locked(connection, study.name, desk.clock())
        try:
            new = Settings.model_validate({**old.model_dump(), **changes})
        except ValidationError as error:
            raise _unfit(error) from error
        after = settled(study, new)
        different = _differences(study, after)
        values = {"settings": new.model_dump(mode="json", exclude_defaults=True), "updated_at": desk.clock()}
        connection.execute(sa.update(studies).where(studies.c.name == study.name).values(**values))
        _adapt(connection, study.name, study.config.assignment.overlap, after.config.assignment.overlap)
        # Texts are long, and their versions tell them apart.
        noted = {name: list(pair) for name, pair in different.items()}
        note(connection, "settled", study=study.name, at=desk.clock(), person_id=by, **noted)
    desk.study = after
    return different


def _unfit(error: ValidationError) -> Refused:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    return Refused(f"{NAMES.get(name, 'settings')}: {complaint(first)}", fix="correct the settings")


def _locked(connection: Connection, name: str, now: float) -> Settings:
    """Return what holds, and let nobody else change it until the transaction ends."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = {"name": name, "settings": {}, "updated_at": now}
    connection.execute(dialect.insert(studies).values(**row).on_conflict_do_nothing())
    query = sa.select(studies.c.settings).where(studies.c.name == name).with_for_update()
    return Settings.model_validate(connection.execute(query).scalar_one())


def _differences(before: Study, after: Study) -> dict[str, tuple[Any, Any]]:
    one, other = before.config.assignment, after.config.assignment
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in POLICY}
    pairs["guidelines"] = before.guidelines.version, after.guidelines.version
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _adapt(connection: Connection, study: str, old: int, new: int) -> None:
    """Let items that want as many labels as all do want the new number; those that disagreement extended keep theirs.

    What is labelled or in somebody's hands (wanted − slots) is not taken back.
    """
    if new == old:
        return
    of_work = (items.c.study == study) & (items.c.role == "work")
    affected = items.c.wanted < new if new > old else (items.c.wanted <= old) & (items.c.wanted > new)
    used = items.c.wanted - items.c.slots
    wanted = sa.case((used > new, used), else_=new)
    lock_items(connection, of_work & affected)
    connection.execute(sa.update(items).where(of_work, affected).values(wanted=wanted, slots=wanted - used))
