"""The tab Export: everything as files at any moment; one person's data as a file, or erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_people import choices_of, rows_of
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.one_person import erase
from labeling_ui.people import Refused
from rewardkit.extras import require


def person_link(office: Office, person_id: Any) -> str:
    """Return the HTML of a link to all that is kept of a person; nothing where nobody is chosen."""
    person = office.people.get(str(person_id)) if person_id else None
    return view("person_link", person=person) if person is not None else ""


def erase_person(office: Office, asking: Asking, person_id: Any, *, sure: Any) -> str:
    """Erase somebody; return what was done.

    Raises:
        Refused: Nobody is chosen, or it was not confirmed.
    """
    if not person_id:
        raise Refused("nobody is chosen", fix="choose somebody from the list")
    if sure is not True:
        raise Refused("this cannot be undone", fix="tick the box if you are sure")
    erase(office.store, office.desk.study.name, str(person_id), by=asking.person, at=office.desk.clock())
    return "Erased. Their labels stay under the pseudonym, and prompts that were made of what they said to models."


def export_tab(tab: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    gradio.HTML(view("export"), elem_classes="admin", apply_default_css=False)
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>One person’s data</h3>", elem_classes="admin", apply_default_css=False)
        who = gradio.Dropdown(label="Who", allow_custom_value=True, elem_id="whose")
        link = gradio.HTML(elem_classes="admin", apply_default_css=False)
        sure = gradio.Checkbox(
            label="Erase who they are and what they wrote in their own words. Under the pseudonym stay their labels, "
            "the responses that they improved, and the prompts that were made of what they said to models. They "
            "cannot come in the same way again. This cannot be undone."
        )
        button = gradio.Button("Erase")
        message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def people() -> Any:
        return gradio.update(choices=choices_of(rows_of(office)), value=None)

    def opened(_: Asking) -> tuple[Sequence[Any], str]:
        return [people(), ""], ""

    def chosen(_: Asking, person_id: Any) -> tuple[Sequence[Any], str]:
        return [person_link(office, person_id)], ""

    def erased(asking: Asking, person_id: Any, certain: Any) -> tuple[Sequence[Any], str]:
        said = erase_person(office, asking, person_id, sure=certain)
        return [people(), "", False], said

    wiring.on(tab.select, opened, outputs=[who, link], message=message, quiet=True)
    wiring.on(who.input, chosen, inputs=[who], outputs=[link], message=message)
    wiring.on(button.click, erased, inputs=[who, sure], outputs=[who, link, sure], message=message)
