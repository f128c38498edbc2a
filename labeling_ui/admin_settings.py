"""The tab Settings: overlap, gold, guidelines; kept in the database, and in force from the next item on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.people import Refused
from labeling_ui.settings import POLICY, change_settings
from rewardkit.extras import require

NAMES = {
    "overlap": "overlap",
    "most_overlap": "overlap where annotators disagree",
    "gold_early": "gold at first",
    "gold_late": "gold later",
    "guidelines": "guidelines",
}


def save(office: Office, by: str, numbers: Sequence[Any], guidelines: Any) -> str:
    """Settle what a researcher filled in; return what is different now.

    Args:
        office: Of the study.
        by: The researcher's id.
        numbers: Two numbers of labels, then two shares in percent.
        guidelines: In Markdown.

    Raises:
        Refused: Something is missing, or does not fit together.
    """
    if any(not isinstance(number, int | float) for number in numbers):
        raise Refused("a number is missing", fix="fill it in")
    overlap, most, early, late = numbers
    if overlap != int(overlap) or most != int(most):
        raise Refused("numbers of labels are whole numbers", fix="correct them")
    text = str(guidelines or "").replace("\r\n", "\n")
    if not text.strip():
        raise Refused("the guidelines are empty", fix="write them")
    changes: dict[str, Any] = dict(zip(POLICY, (int(overlap), int(most), early / 100, late / 100), strict=True))
    # Left alone they stay with the config's file.
    changes |= {} if text == office.desk.study.guidelines.text else {"guidelines": text}
    different = change_settings(office.desk, by, changes)
    if not different:
        return "Nothing is different."
    again = " Annotators read the guidelines again before their next item." if "guidelines" in different else ""
    return f"In force: {', '.join(NAMES[name] for name in different)}.{again}"


def values_of(office: Office) -> list[Any]:
    """Return what holds now, as the form shows it."""
    study = office.desk.study
    policy = study.config.assignment
    shares = [round(100 * share, 1) for share in (policy.gold_early, policy.gold_late)]
    return [policy.overlap, policy.most_overlap, *shares, study.guidelines.text, preview(office)]


def preview(office: Office) -> str:
    """Return the HTML of the guidelines, as annotators see them."""
    return view("guidelines", page=office.desk.study.guidelines)


def settings_tab(tab: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>Labels</h3>", elem_classes="admin", apply_default_css=False)
        with gradio.Row():
            overlap = gradio.Number(label="Labels for each item", minimum=1, precision=0)
            most = gradio.Number(label="At most, where annotators disagree", minimum=1, precision=0)
        with gradio.Row():
            early = gradio.Number(label="Gold at first, in percent", minimum=0, maximum=50)
            late = gradio.Number(label="Gold later, in percent", minimum=0, maximum=50)
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>Guidelines</h3>", elem_classes="admin", apply_default_css=False)
        with gradio.Row():
            text = gradio.Textbox(label="In Markdown", lines=16, max_lines=40, elem_id="guidelines")
            shown = gradio.HTML(elem_classes="admin", apply_default_css=False)
    button = gradio.Button("Save", variant="primary", elem_classes="quiet")
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def opened(_: Asking) -> tuple[Sequence[Any], str]:
        return values_of(office), ""

    def saved(asking: Asking, *filled: Any) -> tuple[Sequence[Any], str]:
        *numbers, guidelines = filled
        said = save(office, asking.person.id, numbers, guidelines)
        return values_of(office), said

    inputs = [overlap, most, early, late, text]
    wiring.on(tab.select, opened, outputs=[*inputs, shown], message=message, quiet=True)
    wiring.on(button.click, saved, inputs=inputs, outputs=[*inputs, shown], message=message)
