"""The researchers' page: a tab for each thing that they do. What it can do, each tab's module can do without it."""

from __future__ import annotations

from typing import Any

from labeling_ui.admin_access import Researchers, Wiring
from labeling_ui.admin_people import people_tab
from labeling_ui.admin_progress import progress_tab
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from rewardkit.extras import require


def admin_page(office: Office) -> Any:
    """Return the Gradio app of the researchers' page."""
    gradio = require("gradio", "ui")
    wiring = Wiring(Researchers(office.people, office.sessions, office.desk.clock))
    study = office.desk.study
    # State of Gradio's is kept under a name that the browser sends: nothing of who asks may be in it.
    with gradio.Blocks(title=f"{study.name}: researchers", analytics_enabled=False, fill_width=True) as blocks:
        gradio.HTML(
            view("head", title=study.config.title, name=study.name), elem_classes="admin", apply_default_css=False
        )
        with gradio.Tabs(elem_id="tabs"):
            with gradio.Tab("Progress"):
                progress_tab(blocks, office, wiring)
            with gradio.Tab("Annotators") as people:
                people_tab(people, blocks, office, wiring)
    return blocks
