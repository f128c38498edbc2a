"""The tab Progress: how far the study is, how fast it goes, how far annotators agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling_ui import figures
from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.office import Office
from labeling_ui.overview import DAY
from rewardkit.extras import require

REFRESHED = 60.0


def progress_view(office: Office) -> str:
    """Return the HTML of the tab."""
    now = office.desk.clock()
    found = office.counts.overview(now)
    progress, bars, moments = found.progress, found.bars, found.agreed.moments
    return view(
        "progress",
        found=found,
        done=progress.done / progress.wanted if progress.wanted else None,
        unit="day" if bars and bars[0].seconds == DAY else "hour",
        columns=figures.columns(bars),
        points=figures.points(moments),
        old=now - found.agreed_at > REFRESHED,
    )


def progress_tab(blocks: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")

    def progress(_: Asking) -> tuple[Sequence[Any], str]:
        return [progress_view(office)], ""

    shown = gradio.HTML(view("counting"), elem_classes="admin", apply_default_css=False)
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)
    again = gradio.Button("Refresh", size="sm", elem_classes="quiet")
    timer = gradio.Timer(REFRESHED)
    for event in (blocks.load, again.click):
        wiring.on(event, progress, outputs=[shown], message=message)
    wiring.on(timer.tick, progress, outputs=[shown], message=message, quiet=True)
