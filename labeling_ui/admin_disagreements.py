"""The tab Disagreements: one comparison at a time on which annotators disagree, decided by a researcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from labeling_ui.adjudication import Decision, decide, subject_of
from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.disputes import Dispute
from labeling_ui.office import Office
from labeling_ui.people import Refused
from rewardkit.extras import require
from rewardkit.store.labelling_tables import leases, people
from rewardkit.store.tables import annotators

DECISIONS: dict[str, tuple[Any, int | None]] = {
    "Response 1 is much better": ("a", 3),
    "Response 1 is better": ("a", 2),
    "Response 1 is slightly better": ("a", 1),
    "Equally good": ("tie", None),
    "Both are bad": ("both_bad", None),
    "Response 2 is slightly better": ("b", 1),
    "Response 2 is better": ("b", 2),
    "Response 2 is much better": ("b", 3),
}
SAID = {"a": "Response 1", "b": "Response 2", "tie": "equally good", "both_bad": "both bad", None: "cannot judge"}


def dispute_view(office: Office, dispute: Dispute | None, count: int) -> str:
    """Return the HTML of a comparison that is to be decided."""
    if dispute is None:
        return view("no_dispute")
    subject = subject_of(office.store, dispute)
    names = _names(office, [each.person_id for each in dispute.answers])
    said = _said(office, [each.lease_id for each in dispute.answers])
    votes = [(names[each.person_id], SAID[each.choice], each, said[each.lease_id]) for each in dispute.answers]
    counts = [(SAID[choice], number) for choice, number in dispute.choices.most_common()]
    return view("dispute", subject=subject, votes=votes, counts=counts, left=count)


def decision_of(chosen: Any, why: Any) -> Decision:
    """Return what a researcher filled in.

    Raises:
        Refused: Nothing is chosen.
    """
    if not isinstance(chosen, str) or chosen not in DECISIONS:
        raise Refused("no decision is chosen", fix="choose one")
    choice, strength = DECISIONS[chosen]
    return Decision(choice, strength, str(why or "").strip())


def disagreements_tab(tab: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    shown = gradio.HTML(view("counting"), elem_classes="admin", apply_default_css=False, elem_id="dispute")
    # In the page and not in the server's memory: a restart between reading and deciding changes nothing.
    item = gradio.Textbox(visible="hidden", label="Item")
    # Where there is nothing to decide there is nothing to fill in.
    with gradio.Column(elem_classes="card", visible=False) as form:
        chosen = gradio.Radio(list(DECISIONS), label="Your decision", elem_id="decision")
        why = gradio.Textbox(label="Why", info="Kept with the label", lines=2)
        with gradio.Row():
            button, skip = gradio.Button("Decide", variant="primary"), gradio.Button("Pass over")
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def show(after: str = "") -> list[Any]:
        dispute, count = office.counts.dispute(after)
        form_shown = gradio.update(visible=dispute is not None)
        return [dispute_view(office, dispute, count), dispute.item_id if dispute else "", None, "", form_shown]

    def opened(_: Asking) -> tuple[Sequence[Any], str]:
        return show(), ""

    def passed(_: Asking, at: Any) -> tuple[Sequence[Any], str]:
        return show(str(at or "")), ""

    def decided(asking: Asking, at: Any, said: Any, reason: Any) -> tuple[Sequence[Any], str]:
        decide(office, asking.person, str(at or ""), decision_of(said, reason))
        return show(), "Kept as a label of yours, in the group of adjudicators."

    outputs = [shown, item, chosen, why, form]
    wiring.on(tab.select, opened, outputs=outputs, message=message, quiet=True)
    wiring.on(skip.click, passed, inputs=[item], outputs=outputs, message=message)
    wiring.on(button.click, decided, inputs=[item, chosen, why], outputs=outputs, message=message)


def _names(office: Office, ids: Sequence[str]) -> dict[str, str]:
    joined = sa.select(people.c.id, annotators.c.name).join_from(
        people, annotators, people.c.annotator_id == annotators.c.id
    )
    with office.store.reading() as connection:
        return {row.id: row.name for row in connection.execute(joined.where(people.c.id.in_(ids)))}


def _said(office: Office, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return answers as the page sent them, with all words."""
    with office.store.reading() as connection:
        found = connection.execute(sa.select(leases.c.id, leases.c.answer).where(leases.c.id.in_(ids)))
        return {row.id: row.answer for row in found}
