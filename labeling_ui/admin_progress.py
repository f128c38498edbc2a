"""The tab Progress: how far the study is, how fast it goes, how far annotators agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling_ui import figures
from labeling_ui.admin_access import Asking, Wiring
from labeling_ui.admin_templates import view
from labeling_ui.answered import known_people
from labeling_ui.office import Office
from labeling_ui.overview import (
    DAY,
    agreement_by_task,
    agreement_over_time,
    agreements,
    main_agreement,
    pace_of,
    throughput,
)
from labeling_ui.progress import progress_of
from rewardkit.extras import require

AT_WORK = 900.0
REFRESHED = 60.0


def progress_view(office: Office) -> str:
    """Return the HTML of the tab."""
    now, study = office.desk.clock(), office.desk.study.name
    answers, progress = office.reader.read(), progress_of(office.store, study)
    bars, moments = throughput(answers, now), agreement_over_time(answers)
    people = [person for person in known_people(office.store, study) if person.role == "annotator"]
    return view(
        "progress",
        progress=progress,
        done=progress.done / progress.wanted if progress.wanted else None,
        answered=len(answers),
        abstained=sum(each.abstained for each in answers),
        pace=pace_of(answers, progress, now),
        whole=main_agreement(answers),
        joined=len(people),
        paused=sum(person.state == "paused" for person in people),
        at_work=len({each.person_id for each in answers if each.at > now - AT_WORK}),
        bars=bars,
        unit="day" if bars and bars[0].seconds == DAY else "hour",
        columns=figures.columns(bars),
        moments=moments,
        points=figures.points(moments),
        questions=agreements(answers),
        tasks=agreement_by_task(answers),
    )


def progress_tab(blocks: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")

    def progress(_: Asking) -> tuple[Sequence[Any], str]:
        return [progress_view(office)], ""

    shown = gradio.HTML(elem_classes="admin", apply_default_css=False)
    message = gradio.HTML(elem_classes="admin", apply_default_css=False)
    again = gradio.Button("Refresh", size="sm", elem_classes="quiet")
    timer = gradio.Timer(REFRESHED)
    for event in (blocks.load, again.click):
        wiring.on(event, progress, outputs=[shown], message=message)
    wiring.on(timer.tick, progress, outputs=[shown], message=message, quiet=True)
