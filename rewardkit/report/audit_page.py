"""An audit's data → one page that needs nothing else, with its figures and numbers beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from markupsafe import Markup

from rewardkit.audit.judges import JudgeAudit
from rewardkit.report.audit_cells import Table
from rewardkit.report.audit_data import AuditData
from rewardkit.report.audit_figures import draw_judge, draw_overview
from rewardkit.report.audit_tables import (
    agreement,
    asked_again,
    beside,
    effort,
    leanings,
    order,
    overview,
    parts,
    probabilities,
    ranks,
    reasons,
    under_stress,
)
from rewardkit.report.audit_words import cautions, opposed_sides, verdict
from rewardkit.report.data import plain
from rewardkit.report.effort_figure import draw_effort
from rewardkit.report.figures import Picture, write_pictures
from rewardkit.report.page import FIGURES_FOLDER, HERE, environment
from rewardkit.runs import write_json, write_text
from rewardkit.types import SCHEMA_VERSION

NUMBERS_FILE = "audit.json"
# With more judges their tables are folded, so that the page can be looked through.
OPEN_UP_TO = 2


@dataclass(frozen=True)
class JudgePart:
    """One judge's part of the page.

    Attributes:
        judge: The judge.
        sentences: What to think of it.
        opposed: Where groups of people see it on opposite sides.
        cautions: What to keep in mind.
        tables: Its findings, by heading.
        pictures: Its figures, by what they show.
    """

    judge: JudgeAudit
    sentences: tuple[str, ...]
    opposed: tuple[str, ...]
    cautions: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: dict[str, Picture]


def write_audit(data: AuditData, folder: Path, name: str = "audit.html") -> Path:
    """Write the page, its figures (`figures/NAME.svg` and `.json`) and `audit.json`; the page last.

    Raises:
        OutputError: The folder cannot be written.
    """
    found = tuple(_part(place, judge, data.unit) for place, judge in enumerate(data.judges, start=1))
    drawn = {"overview": draw_overview(data.judges), "effort": draw_effort(data.judges)}
    shared = {name: picture for name, picture in drawn.items() if picture}
    page = _render(data, found, shared)
    pictures = list(shared.values())
    pictures += [picture for part in found for picture in part.pictures.values()]
    write_pictures({picture.name: picture for picture in pictures}, folder / FIGURES_FOLDER)
    write_json(folder / NUMBERS_FILE, {"schema_version": SCHEMA_VERSION, **data.to_json()})
    write_text(folder / name, page)
    return folder / name


def _part(place: int, judge: JudgeAudit, unit: str) -> JudgePart:
    return JudgePart(
        judge=judge,
        sentences=verdict(judge),
        opposed=opposed_sides(judge),
        cautions=cautions(judge, unit),
        tables=_tables(judge, unit),
        pictures=draw_judge(place, judge),
    )


def _tables(judge: JudgeAudit, unit: str) -> tuple[Table, ...]:
    found: list[Table] = []
    if judge.pairs is not None:
        pairs = judge.pairs
        found += [agreement(pairs, unit), beside(pairs, unit)]
        found += [parts("By group of people", pairs.by_group, unit)] if pairs.by_group else []
        found += [parts("By task", pairs.by_task, unit)] if pairs.by_task else []
        found += [order(pairs, unit), leanings(pairs, judge.family, unit), probabilities(pairs.honesty, unit)]
    if judge.ratings:
        found.append(ranks(judge.ratings, unit))
    found += [effort(judge.pairs.compute, unit)] if judge.pairs else []
    found += [reasons(judge.pairs.faithfulness, unit)] if judge.pairs and judge.pairs.faithfulness else []
    found += [under_stress(judge.stress, unit)] if judge.stress else []
    return (*found, asked_again(judge, unit))


def _render(data: AuditData, found: tuple[JudgePart, ...], shared: dict[str, Picture]) -> str:
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            data=data,
            parts=found,
            shared=shared,
            open_up_to=OPEN_UP_TO,
            side_by_side=overview(data.judges, data.unit),
            settings=yaml.safe_dump(plain(data.settings), sort_keys=False, allow_unicode=True, width=100),
            style=Markup("".join((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "audit.css"))),
            numbers_file=NUMBERS_FILE,
            figures_folder=FIGURES_FOLDER,
        )
    )
