"""The tab Data: a file is dropped, looked at, and taken in as work or gold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.people import Refused
from labeling_ui.upload_words import COLUMNS, in_the_form
from labeling_ui.uploads import REJECTS, Upload, columns_of
from rewardkit.errors import DataError
from rewardkit.extras import require

TYPES = [".csv", ".jsonl", ".ndjson", ".json", ".parquet"]
ROLES = {"work: it is to be labelled": "work", "gold: its human labels are the right answers": "gold"}
PRIORITIES = range(-1000, 1001)
CELL = 300
"""Characters of a cell that are shown."""


def upload_of(file: Any, source: Any, columns: Any) -> Upload:
    """Return what a researcher filled in.

    Raises:
        Refused: There is no file, or the columns cannot be read.
    """
    if not file or not isinstance(file, str):
        raise Refused("there is no file yet", fix="drop one, or choose it")
    path = Path(file)
    name = str(source or "").strip()
    if len(name) > 200:
        raise Refused("the name of the data set is too long", fix="shorten it")
    return Upload(path, name or path.stem, columns_of(str(columns or "")))


def look_view(office: Office, upload: Upload) -> str:
    """Return the HTML of what is in a file; where all of it was rejected, of why, with the rejected rows."""
    try:
        look = office.uploads.look(upload, office.desk.study)
    except DataError as error:
        if not (office.folder / REJECTS.format(token=upload.token)).exists():
            raise in_the_form(error, upload.path) from error
        return view("rejected", error=error, token=upload.token)
    rows = [[_cell(row.get(name)) for name, _ in look.fields] for row in look.rows]
    return view(
        "look", look=look, rows=rows, name=upload.path.name, token=upload.token, task=office.desk.study.config.task
    )


def take_in(office: Office, by: str, upload: Upload, role: Any, priority: Any) -> str:
    """Take a file in; return the HTML of what became of it.

    Raises:
        Refused: The role or priority is none, or there is nothing in the file for it.
        DataError: The file cannot be understood.
    """
    if not isinstance(role, str) or role not in ROLES:
        raise Refused("what the file is for is not chosen", fix="choose work or gold")
    if not isinstance(priority, int | float) or priority not in PRIORITIES:
        raise Refused("a priority is a whole number from -1000 to 1000", fix="correct it")
    chosen: Any = ROLES[role]
    how: dict[str, Any] = {"role": chosen, "priority": int(priority), "by": by, "at": office.desk.clock()}
    try:
        taken = office.uploads.take(upload, office.desk.study, **how)
    except DataError as error:
        raise in_the_form(error, upload.path) from error
    return view("taken", taken=taken, role=chosen, token=upload.token)


def data_tab(office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    with gradio.Column(elem_classes="card"):
        gradio.HTML(view("data"), elem_classes="admin", apply_default_css=False)
        file = gradio.File(label="A file", file_types=TYPES, type="filepath", height=150, elem_id="upload")
        with gradio.Row():
            source = gradio.Textbox(label="Name of the data set", info="The file's name if left empty", max_lines=1)
            columns = gradio.Textbox(label=COLUMNS, info="prompt=question, one a line; empty if they fit", lines=2)
        look = gradio.Button("Look at it")
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)
    shown = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="look")
    with gradio.Column(elem_classes="card"):
        role = gradio.Radio(list(ROLES), value=next(iter(ROLES)), label="Add it as")
        priority = gradio.Number(0, label="Priority", info="Smaller numbers are labelled first", precision=0)
        take = gradio.Button("Import and add", variant="primary")

    def looked(_: Asking, *filled: Any) -> tuple[Sequence[Any], str]:
        return [look_view(office, upload_of(*filled)) if filled[0] else ""], ""

    def taken(asking: Asking, *filled: Any) -> tuple[Sequence[Any], str]:
        *described, chosen, first = filled
        return [take_in(office, asking.person.id, upload_of(*described), chosen, first), None], ""

    for event in (file.upload, file.clear, look.click):
        wiring.on(event, looked, inputs=[file, source, columns], outputs=[shown], message=message)
    inputs = [file, source, columns, role, priority]
    wiring.on(take.click, taken, inputs=inputs, outputs=[shown, file], message=message)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= CELL else f"{text[:CELL]}…"
