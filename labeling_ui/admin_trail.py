"""The tab Audit trail: who did what and when, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_people import choices_of, rows_of
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.trail_pages import PAGE, kinds_of, read_trail
from labeling_ui.trail_words import kind_name
from rewardkit.extras import require

ANYBODY, ANYTHING = ("everybody", ""), ("everything", "")


def trail_view(office: Office, person: Any, kind: Any, page: int) -> tuple[str, int]:
    """Return the HTML of a page of the trail, and which page it is."""
    trail = read_trail(
        office.store, office.desk.study.name, person_id=str(person or ""), kind=str(kind or ""), page=page
    )
    return view("trail", trail=trail, rows=trail.told), max(0, trail.first - 1) // PAGE


def trail_tab(tab: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    with gradio.Row():
        person = gradio.Dropdown([ANYBODY], value="", label="Who", allow_custom_value=True)
        kind = gradio.Dropdown([ANYTHING], value="", label="What", allow_custom_value=True)
    shown = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="trail")
    at = gradio.Number(0, visible="hidden", label="Page")
    with gradio.Row():
        newer, older = (gradio.Button(name, elem_classes="quiet") for name in ("Newer", "Older"))
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def lists() -> list[Any]:
        whom = [ANYBODY, *choices_of(rows_of(office))]
        what = [ANYTHING, *((kind_name(each), each) for each in kinds_of(office.store, office.desk.study.name))]
        return [gradio.update(choices=whom), gradio.update(choices=what)]

    def opened(_: Asking, who: Any, what: Any) -> tuple[Sequence[Any], str]:
        return [*trail_view(office, who, what, 0), *lists()], ""

    def filtered(_: Asking, who: Any, what: Any) -> tuple[Sequence[Any], str]:
        return trail_view(office, who, what, 0), ""

    def turned(by: int) -> Any:
        def turn(_: Asking, who: Any, what: Any, page: Any) -> tuple[Sequence[Any], str]:
            return trail_view(office, who, what, int(page or 0) + by), ""

        return turn

    wiring.on(tab.select, opened, inputs=[person, kind], outputs=[shown, at, person, kind], message=message, quiet=True)
    for event in (person.input, kind.input):
        wiring.on(event, filtered, inputs=[person, kind], outputs=[shown, at], message=message)
    wiring.on(newer.click, turned(-1), inputs=[person, kind, at], outputs=[shown, at], message=message)
    wiring.on(older.click, turned(1), inputs=[person, kind, at], outputs=[shown, at], message=message)
