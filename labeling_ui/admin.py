"""The researchers' page: a tab for each thing that they do. What it can do, each tab's module can do without it."""

from __future__ import annotations

from typing import Any

from labeling_ui.admin_access import Researchers, Wiring
from labeling_ui.admin_data import data_tab
from labeling_ui.admin_disagreements import disagreements_tab
from labeling_ui.admin_export import export_tab
from labeling_ui.admin_judges import judges_tab
from labeling_ui.admin_people import people_tab
from labeling_ui.admin_progress import progress_tab
from labeling_ui.admin_settings import settings_tab
from labeling_ui.admin_templates import view
from labeling_ui.admin_trail import trail_tab
from labeling_ui.office import Office
from rewardkit.extras import require


def admin_page(office: Office, researchers: Researchers) -> Any:
    """Return the Gradio app of the researchers' page."""
    gradio = require("gradio", "ui")
    wiring = Wiring(researchers)
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
                people_tab(people, office, wiring)
            with gradio.Tab("Data"):
                data_tab(office, wiring)
            with gradio.Tab("Disagreements") as disagreements:
                disagreements_tab(disagreements, office, wiring)
            with gradio.Tab("Judges") as judges:
                judges_tab(judges, office, wiring)
            with gradio.Tab("Settings") as settings:
                settings_tab(settings, office, wiring)
            with gradio.Tab("Audit trail") as trail:
                trail_tab(trail, office, wiring)
            with gradio.Tab("Export") as export:
                export_tab(export, office, wiring)
    return blocks
