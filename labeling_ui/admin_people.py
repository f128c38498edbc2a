"""The tab Annotators: how each of them works; pausing and resuming; letting people in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy.engine import Row

from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.people import Refused, State
from labeling_ui.quality import Annotated
from rewardkit.extras import require

MOST_INVITATIONS = 200
LONGEST_REASON = 500
ROLES = {"annotator": "annotator", "researcher": "admin"}


def rows_of(office: Office) -> list[Annotated]:
    """Return how everybody works."""
    return office.counts.annotators(office.desk.study)


def people_view(rows: Sequence[Annotated]) -> str:
    """Return the HTML of how annotators work; researchers are among them where they have labelled."""
    return view("annotators", rows=[each for each in rows if each.role == "annotator" or each.answered])


def choices_of(rows: Sequence[Annotated], *, but: str = "") -> list[tuple[str, str]]:
    """Return people as a list to choose from: what is read, and the id.

    Args:
        rows: Everybody.
        but: The id of somebody who is left out.
    """
    others = [each for each in rows if each.person_id != but]
    return [(f"{each.name} · {each.external_id} · {each.state}", each.person_id) for each in others]


def set_state(office: Office, by: Row[Any], person_id: Any, *, state: State, why: Any) -> str:
    """Pause or resume somebody; return what was done.

    Raises:
        Refused: Nobody is chosen, the reason is missing, or they would lock themselves out.
    """
    reason = str(why or "").strip()
    if not person_id or not isinstance(person_id, str):
        raise Refused("nobody is chosen", fix="choose somebody from the list")
    if state == "paused" and not reason:
        raise Refused("a pause needs a reason, which the audit trail keeps", fix="write one")
    if len(reason) > LONGEST_REASON:
        raise Refused(f"a reason has up to {LONGEST_REASON} characters", fix="shorten it")
    if person_id == by.id:
        raise Refused("this is yourself", fix="ask another researcher")
    office.people.set_state(person_id, state, why=reason, by=by.id)
    return "Paused. What they have done is kept." if state == "paused" else "They can go on."


def invitations(office: Office, count: Any, address: str) -> list[str]:
    """Return new links, each for one person; under the address of the config, or the one that is asked from.

    Raises:
        Refused: It is no number, or too many at once.
    """
    if not isinstance(count, int | float) or not 1 <= count <= MOST_INVITATIONS or count != int(count):
        raise Refused(f"up to {MOST_INVITATIONS} invitations are made at a time", fix="give a whole number from 1")
    base = (office.desk.study.config.public_url or address).rstrip("/")
    return [f"{base}/join/{office.sessions.invitation()}" for _ in range(int(count))]


def add_somebody(office: Office, name: Any, password: Any, role: Any) -> str:
    """Make somebody known under a name and a password; return what was done.

    Raises:
        Refused: The name is taken or none, the password too short, or there is no such role.
    """
    if not isinstance(role, str) or role not in ROLES:
        raise Refused("there is no such role", fix=f"choose {' or '.join(ROLES)}")
    office.entrances.add_person(str(name or "").strip(), str(password or ""), role=ROLES[role])  # type: ignore[arg-type]
    return "They can log in at /login now."


def people_tab(tab: Any, office: Office, wiring: Wiring) -> None:  # noqa: PLR0915 - one statement a widget
    """Fill the tab."""
    gradio = require("gradio", "ui")
    table = gradio.HTML(elem_classes="admin", apply_default_css=False)
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>Pause or resume</h3>", elem_classes="admin", apply_default_css=False)
        # Custom values are let through to the handler, which looks people up itself: the list that this page was
        # opened with knows nobody who came since.
        who = gradio.Dropdown(label="Who", allow_custom_value=True, elem_id="who")
        why = gradio.Textbox(label="Why", info="Kept in the audit trail; they are not shown it.", max_lines=3)
        with gradio.Row():
            pause, resume = gradio.Button("Pause", variant="primary"), gradio.Button("Resume")
        message = gradio.HTML(elem_classes="admin", apply_default_css=False)
    with gradio.Row():
        _invite(gradio, office, wiring)
        added = _add(gradio, office, wiring)

    def people(asking: Asking) -> tuple[Sequence[Any], str]:
        rows = rows_of(office)
        # Nobody pauses themselves.
        return [people_view(rows), gradio.update(choices=choices_of(rows, but=asking.person.id))], ""

    def changing(state: State) -> Any:
        def change(asking: Asking, person_id: Any, reason: Any) -> tuple[Sequence[Any], str]:
            said = set_state(office, asking.person, person_id, state=state, why=reason)
            return [*people(asking)[0], ""], said

        change.__name__ = state
        return change

    shown = [table, who]
    assert set(get_args(State)) == {"active", "paused"}
    wiring.on(pause.click, changing("paused"), inputs=[who, why], outputs=[*shown, why], message=message)
    wiring.on(resume.click, changing("active"), inputs=[who, why], outputs=[*shown, why], message=message)
    # Not when the page loads: one event is then on its way, and a second one that begins just when the first ends
    # may be lost in Gradio's stream.
    for event in (tab.select, added.then):
        wiring.on(event, people, outputs=shown, message=message, quiet=True)


def _invite(gradio: Any, office: Office, wiring: Wiring) -> None:
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>Invite</h3>", elem_classes="admin", apply_default_css=False)
        count = gradio.Number(1, label="How many", minimum=1, maximum=MOST_INVITATIONS, precision=0)
        make = gradio.Button("Make links", variant="primary")
        links = gradio.Textbox(
            label="Links",
            info="One for each person; whoever has a link is that person. They are not shown again.",
            lines=4,
            max_lines=12,
            buttons=["copy"],
            interactive=False,
            elem_id="links",
        )
        message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def invite(asking: Asking, wanted: Any) -> tuple[Sequence[Any], str]:
        made = invitations(office, wanted, asking.address)
        return ["\n".join(made)], f"{len(made)} new links."

    wiring.on(make.click, invite, inputs=[count], outputs=[links], message=message)


def _add(gradio: Any, office: Office, wiring: Wiring) -> Any:
    with gradio.Column(elem_classes="card"):
        gradio.HTML("<h3>Add somebody</h3>", elem_classes="admin", apply_default_css=False)
        name = gradio.Textbox(label="Name", max_lines=1)
        password = gradio.Textbox(label="Password", info="10 to 200 characters", type="password", max_lines=1)
        role = gradio.Radio(list(ROLES), value="annotator", label="As")
        button = gradio.Button("Add", variant="primary")
        message = gradio.HTML(elem_classes="admin", apply_default_css=False)

    def add(_: Asking, called: Any, secret: Any, chosen: Any) -> tuple[Sequence[Any], str]:
        return ["", ""], add_somebody(office, called, secret, chosen)

    return wiring.on(button.click, add, inputs=[name, password, role], outputs=[name, password], message=message)
