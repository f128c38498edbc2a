"""The tab Settings: overlap, gold, guidelines; kept in the database, and in force from the next item on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.people import Refused
from labeling_ui.settings import LONGEST_GUIDELINES, NAMES, POLICY, change_settings, read_settings
from labeling_ui.study import page_of
from rewardkit.extras import require

MOST_GOLD = 50
"""Percent."""
HOLDS = "What is saved here holds over the config’s file, also after a restart."
SHARES = ("gold_early", "gold_late")


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
    _require_numbers(numbers)
    text = str(guidelines or "").replace("\r\n", "\n")
    if not text.strip():
        raise Refused("the guidelines are empty", fix="write them")
    pairs = zip(POLICY, numbers, _shown(office), strict=True)
    # What is left alone stays with the config's file.
    changes: dict[str, Any] = {name: _settled_as(name, number) for name, number, shown in pairs if number != shown}
    changes |= {} if text == office.desk.study.guidelines.text else {"guidelines": text}
    different = change_settings(office.desk, by, changes)
    if not different:
        return "Nothing is different."
    return " ".join(_sentences(different))


def _require_numbers(numbers: Sequence[Any]) -> None:
    for name, number in zip(POLICY, numbers, strict=True):
        if not isinstance(number, int | float):
            raise Refused(f"a number is missing: {NAMES[name]}", fix="fill it in")
        if name in SHARES and not 0 <= number <= MOST_GOLD:
            raise Refused(f"{NAMES[name]}: it is {number:g} percent", fix=f"give 0 to {MOST_GOLD} percent")
        if name not in SHARES and (number != int(number) or number < 1):
            raise Refused(f"{NAMES[name]}: it is {number:g}", fix="give a whole number from 1")


def _settled_as(name: str, number: float) -> float | int:
    return number / 100 if name in SHARES else int(number)


def _sentences(different: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    """Yield what is different now, in the words of the form."""
    for name, (before, after) in different.items():
        if name in POLICY:
            one, other = (f"{100 * each:g} percent" if name in SHARES else each for each in (before, after))
            yield f"{NAMES[name].capitalize()}: {other} from now on, {one} until now."
    if "guidelines" in different:
        yield "The guidelines are saved: annotators read the guidelines again before their next item."


def _shown(office: Office) -> list[float]:
    """Return the numbers that hold, as the form shows them."""
    policy = office.desk.study.config.assignment
    shares = [round(100 * share, 1) for share in (policy.gold_early, policy.gold_late)]
    return [policy.overlap, policy.most_overlap, *shares]


def values_of(office: Office) -> list[Any]:
    """Return what holds now, as the form shows it."""
    text = office.desk.study.guidelines.text
    return [*_shown(office), text, preview(office, text), holds(office)]


def preview(office: Office, text: Any) -> str:
    """Return the HTML of guidelines as annotators would see them.

    Args:
        office: Of the study.
        text: What is typed, saved or not.
    """
    page = page_of(str(text or "")[:LONGEST_GUIDELINES].replace("\r\n", "\n"))
    return view("guidelines", page=page, saved=page.version == office.desk.study.guidelines.version)


def holds(office: Office) -> str:
    """Return the HTML that says what was set here before, and that it holds over the config."""
    kept = read_settings(office.store, office.desk.study.name).model_dump(exclude_none=True)
    return view("holds", said=HOLDS, names=[NAMES[name] for name in NAMES if name in kept])


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
        with gradio.Row(elem_classes="beside"):
            text = gradio.Textbox(label="In Markdown", lines=16, max_lines=40, elem_id="guidelines")
            shown = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="preview")
            untold = gradio.HTML(elem_classes="admin", apply_default_css=False)
    note = gradio.HTML(view("holds", said=HOLDS, names=()), elem_classes="admin", apply_default_css=False)
    button = gradio.Button("Save", variant="primary", elem_classes="quiet")
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def opened(_: Asking) -> tuple[Sequence[Any], str]:
        return values_of(office), ""

    def saved(asking: Asking, *filled: Any) -> tuple[Sequence[Any], str]:
        *numbers, guidelines = filled
        said = save(office, asking.person.id, numbers, guidelines)
        return values_of(office), said

    def typed(_: Asking, guidelines: Any) -> tuple[Sequence[Any], str]:
        return [preview(office, guidelines)], ""

    inputs = [overlap, most, early, late, text]
    wiring.on(tab.select, opened, outputs=[*inputs, shown, note], message=message, quiet=True)
    wiring.on(button.click, saved, inputs=inputs, outputs=[*inputs, shown, note], message=message)
    # Gradio's event of input is silent at the first key after the server has filled the field.
    wiring.on(text.change, typed, inputs=[text], outputs=[shown], message=untold, quiet=True, latest=True)
