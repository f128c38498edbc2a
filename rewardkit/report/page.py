"""A report's data → one page that needs nothing else, with its figures and numbers beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rewardkit.errors import ConfigError
from rewardkit.report.data import ReportData, Row, calibration_json, plain
from rewardkit.report.figures import Picture, draw_all, write_pictures
from rewardkit.report.formats import FILTERS, plain_interval, readable
from rewardkit.report.verdict import Verdict, people, reach_verdict
from rewardkit.runs import write_json, write_text
from rewardkit.types import SCHEMA_VERSION

HERE = Path(__file__).parent
NUMBERS_FILE = "evaluation.json"
FIGURES_FOLDER = "figures"
# Longer texts are folded: three of them on a screen should still leave room for the numbers.
LONG_TEXT = 700


def write_report(data: ReportData, folder: Path, name: str = "report.html") -> Path:
    """Write the page, its figures (`figures/NAME.svg` and `.json`) and `evaluation.json`.

    The page is written last, and each file whole or not at all.

    Args:
        data: What stands on the page.
        folder: Where it goes; it is made if absent.
        name: The page's file name.

    Returns:
        The page's path.

    Raises:
        ConfigError: The name is not the name of an HTML file.
        OutputError: The folder cannot be written.
    """
    if Path(name).name != name or Path(name).suffix != ".html":
        raise ConfigError(f"the report's name is {name!r}", where="evaluate.report", expected="a name like report.html")
    verdict, pictures = reach_verdict(data), draw_all(data)
    page = render(data, verdict, pictures)
    write_pictures(pictures, folder / FIGURES_FOLDER)
    numbers = {"schema_version": SCHEMA_VERSION, "verdict": verdict.to_json(), **data.to_json()}
    write_json(folder / NUMBERS_FILE, numbers)
    write_text(folder / name, page)
    return folder / name


def render(data: ReportData, verdict: Verdict, pictures: dict[str, Picture]) -> str:
    """Return the page as HTML."""
    template = environment().get_template("page.html.j2")
    return template.render(
        data=data,
        verdict=verdict,
        pictures=pictures,
        people=people(data),
        closest=_closest(data),
        calibration=calibration_json(data.calibration),
        labels=plain(data.aggregation),
        settings=yaml.safe_dump(plain(data.settings), sort_keys=False, allow_unicode=True, width=100),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        long_text=LONG_TEXT,
        numbers_file=NUMBERS_FILE,
        figures_folder=FIGURES_FOLDER,
    )


def _closest(data: ReportData) -> Row | None:
    """Return the baseline with the smallest lead over it, or None where none was compared."""
    compared = [(row.difference.value, i) for i, row in enumerate(data.baselines) if row.difference]
    return data.baselines[min(compared)[1]] if compared else None


def environment() -> Environment:
    """Return what renders the pages of this room: escaping, strict, with the room's formats."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(FILTERS)
    environment.globals["interval"] = plain_interval
    return environment


def _finalize(value: Any) -> Any:
    """Make every text that reaches the page one that a page can hold."""
    return readable(value) if type(value) is str else value
