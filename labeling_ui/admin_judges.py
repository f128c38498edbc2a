"""The tab Judges: all of them measured beside people, and one of them watched while it works on one comparison."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from statistics import mean
from typing import Any

from starlette.concurrency import run_in_threadpool

from labeling_ui.admin_access import Asking, Wiring, problem
from labeling_ui.admin_disagreements import SAID
from labeling_ui.admin_templates import percent, view
from labeling_ui.judges import Watchable
from labeling_ui.office import Office
from labeling_ui.people import Refused
from labeling_ui.reviewing import Opinion
from labeling_ui.trail import note
from labeling_ui.watched import Case, Way, case_of, keep, shown
from labeling_ui.watching import Watch
from rewardkit.extras import require
from rewardkit.types import Order

WAYS: dict[str, Way] = {
    "The next that it has not labelled": "next",
    "One at random": "random",
    "The one with this id": "id",
}
STATES = {
    "waiting": "Its model is being loaded, or talks with an annotator. The first words appear here.",
    "working": "At work …",
    "through": "Through. Nothing of it is stored unless you keep it.",
    "stopped": "Stopped. Nothing of it is stored.",
    "kept": "Kept: its labels and ratings are stored.",
}
PLACES: dict[Order, dict[str, str]] = {"ab": {"a": "a", "b": "b"}, "ba": {"a": "b", "b": "a"}}
EVERY = 1.0
"""Seconds between two looks at how far a measurement is."""
Shown = AsyncGenerator[tuple[Sequence[Any], str], None]


def judges_tab(tab: Any, office: Office, wiring: Wiring) -> None:
    """Fill the tab."""
    gradio = require("gradio", "ui")
    measured, found = _measuring(office, wiring)
    watched, message, looking = _watching(office, wiring)

    async def opened(asking: Asking) -> Shown:
        # One event for both: Gradio's stream of events may lose one that begins while another one ends.
        said = ""
        yield [*measured_views(office), *[gradio.skip()] * len(watched)], said
        async with aclosing(looking(asking)) as coming:
            async for shown, said in coming:
                yield [measuring_view(office), gradio.skip(), *shown], said
        async with aclosing(measuring_news(office)) as news:
            async for shown in news:
                yield [*shown, *[gradio.skip()] * len(watched)], said

    wiring.stream(tab.select, opened, outputs=[measured, found, *watched], message=message)


def case_views(case: Case) -> list[str]:
    """Return the HTML of a comparison that a judge is watched on: prompt, responses, and what people said."""
    votes = [(vote, said_of(vote.choice, case.order)) for vote in case.votes]
    counts = Counter(said for _, said in votes).most_common()
    return [
        view("watched_prompt", case=case),
        view("watched", responses=shown(case.order, case.subject.responses)),
        view("votes", case=case, votes=votes, counts=counts),
    ]


def words_view(watch: Watch) -> str:
    """Return the HTML of what a judge has said so far."""
    numbers = sorted(watch.said.keys() | watch.thoughts.keys())
    parts = [(number, watch.said.get(number, "")) for number in numbers]
    state = STATES.get(watch.state) or f"It gave no whole answer: {watch.why}"
    verdict = verdict_of(watch.opinion, watch.case.order) if watch.opinion else ""
    return view("words", watch=watch, parts=parts, state=state, verdict=verdict)


def verdict_of(opinion: Opinion, order: Order) -> str:
    """Return in a sentence what a judge's labels come to."""
    good = [label for label in opinion.labels if label.status == "ok"]
    if not good:
        return "It said nothing that can be used: " + "; ".join(label.reason for label in opinion.labels)
    soft = [label.p_a for label in good if label.p_a is not None]
    if soft:
        p_a = mean(soft)
        choice = "tie" if p_a == 0.5 else "a" if p_a > 0.5 else "b"
        orders = "both orders together" if len(soft) > 1 else "one order"
        return f"Its verdict: {said_of(choice, order)} ({percent(max(p_a, 1 - p_a))} sure, {orders})."
    return f"Its verdict: {said_of(good[0].choice, order)}."


def said_of(choice: str | None, order: Order) -> str:
    """Return a choice in words, by the places in which the responses are shown."""
    return SAID[PLACES[order].get(choice, choice) if choice else None]


def judge_of(office: Office, judge_id: Any) -> Watchable:
    """Return a judge that is to be watched.

    Raises:
        Refused: None is chosen, or there is no such judge.
    """
    for each in office.judges.watchable:
        if each.annotator.id == judge_id:
            return each
    raise Refused("no judge is chosen", fix="choose one from the list")


def watch_of(office: Office, asking: Asking, judge_id: Any, which: Any, named: Any) -> Watch:
    """Return what a researcher asks to watch.

    Raises:
        Refused: There is no such judge, or no such comparison.
    """
    judge, way = judge_of(office, judge_id), WAYS.get(which) if isinstance(which, str) else None
    if way is None:
        raise Refused("no comparison is chosen", fix="say which one the judge is to work on")
    before = office.watching.latest.get(asking.person.id)
    after = before.case.id if before is not None and before.judge is judge else ""
    with office.store.reading() as connection:
        case = case_of(connection, way, judge.annotator.id, named=str(named or ""), after=after)
    return Watch(judge, case, asking.person.id)


def keep_watched(office: Office, asking: Asking) -> Watch:
    """Store what a judge said that a researcher has watched; return it.

    Raises:
        Refused: It has said nothing yet that can be kept, or has labels there already.
    """
    watch = office.watching.latest.get(asking.person.id)
    if watch is None or watch.opinion is None or not watch.useful:
        raise Refused("there is nothing to keep", fix="let a judge work on a comparison to the end")
    at, study = office.desk.clock(), office.desk.study.name
    with office.store.writing() as connection:
        kept = keep(connection, watch.judge.annotator, watch.opinion)
        about = {"judge": watch.judge.annotator.name, "comparison": watch.case.id, "labels": kept}
        note(connection, "judge kept", study=study, at=at, person_id=asking.person.id, **about)
    watch.become("kept")
    return watch


def start_measuring(office: Office, asking: Asking) -> None:
    """Begin to measure the judges.

    Raises:
        Refused: It has begun already.
    """
    office.measuring.start()
    with office.store.writing() as connection:
        about = {"study": office.desk.study.name, "at": office.desk.clock(), "person_id": asking.person.id}
        note(connection, "judges measured", **about)


def measuring_view(office: Office) -> str:
    """Return the HTML of how far a measurement is, or of why it came to nothing."""
    standing = office.measuring.standing
    if standing.running:
        return view("measuring", step=standing.step)
    return problem(standing.problem) if standing.problem else ""


def measured_views(office: Office) -> list[str]:
    """Return the HTML of how far a measurement is, and of what was found the last time."""
    return [measuring_view(office), view("judges", found=office.measuring.kept())]


async def measuring_news(office: Office) -> AsyncGenerator[list[Any], None]:
    """Yield how far a measurement is, and in the end what was found."""
    gradio = require("gradio", "ui")
    while office.measuring.standing.running:
        yield [measuring_view(office), gradio.skip()]
        await asyncio.sleep(EVERY)
    yield await run_in_threadpool(measured_views, office)


def _measuring(office: Office, wiring: Wiring) -> tuple[Any, Any]:
    """Return the components that show how far it is, and what was found."""
    gradio = require("gradio", "ui")
    with gradio.Column(elem_classes="card"):
        gradio.HTML(view("judges_measure"), elem_classes="admin", apply_default_css=False)
        button = gradio.Button("Measure the judges", variant="primary")
        message = gradio.HTML(elem_classes="admin", apply_default_css=False)
        going = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="measured-so-far")
        found = gradio.HTML(view("judges", found=None), elem_classes="admin", apply_default_css=False, elem_id="judges")

    async def measured(asking: Asking) -> Shown:
        await run_in_threadpool(start_measuring, office, asking)
        async with aclosing(measuring_news(office)) as news:
            async for shown in news:
                yield shown, _told(office)

    wiring.stream(button.click, measured, outputs=[going, found], message=message)
    return going, found


def _told(office: Office) -> str:
    """Return what screen readers are told of a measurement."""
    standing = office.measuring.standing
    if standing.running:
        return "The judges are being measured; what was found before stays until then."
    return "" if standing.problem else "The judges are measured."


def _watching(office: Office, wiring: Wiring) -> tuple[list[Any], Any, Callable[[Asking], Shown]]:
    """Return the components that show a judge at work, where it is said how it went, and what follows it."""
    gradio = require("gradio", "ui")
    choices = [(each.annotator.name, each.annotator.id) for each in office.judges.watchable]
    with gradio.Column(elem_classes="card"):
        said = view("judges_watch", unwatchable=office.judges.unwatchable, none=not choices)
        gradio.HTML(said, elem_classes="admin", apply_default_css=False)
        with gradio.Column(visible=bool(choices)):
            with gradio.Row(elem_classes="beside"):
                judge = gradio.Dropdown(choices, value=choices[0][1] if choices else None, label="Judge")
                named = gradio.Textbox(label="Id of a comparison", info="Where one is named", max_lines=1)
            which = gradio.Radio(list(WAYS), value=next(iter(WAYS)), label="Comparison", elem_id="which")
            with gradio.Row(elem_classes="deeds"):
                button = gradio.Button("Watch it work", variant="primary")
                stop = gradio.Button("Stop", interactive=False)
                kept = gradio.Button("Keep these labels", interactive=False)
            message = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="watched-said")
            prompt = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="watched-prompt")
            with gradio.Row(elem_classes="watched"):
                pair = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="watched")
                words = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="words")
            votes = gradio.HTML(elem_classes="admin", apply_default_css=False, elem_id="votes")
    outputs = [prompt, pair, votes, words, stop, kept]

    async def looking(asking: Asking) -> Shown:
        case: Case | None = None
        # What yields nothing would empty the buttons.
        yield [gradio.skip()] * len(outputs), ""
        async with aclosing(office.watching.news(asking.person.id)) as news:
            async for watch in news:
                if watch is None:
                    yield [gradio.skip()] * len(outputs), ""
                    continue
                # Once: what somebody reads and scrolls stays as it is.
                about = case_views(watch.case) if case is None else [gradio.skip()] * 3
                deeds = [gradio.update(interactive=watch.under_way), gradio.update(interactive=watch.useful)]
                yield [*about, words_view(watch), *deeds], _ended(watch)
                case = watch.case

    async def begin(asking: Asking, *chosen: Any) -> None:
        office.watching.start(await run_in_threadpool(watch_of, office, asking, *chosen))

    async def end(asking: Asking) -> None:
        await office.watching.stop(asking.person.id)

    async def keep_it(asking: Asking) -> None:
        await run_in_threadpool(keep_watched, office, asking)

    for pressed, deed, inputs in ((button, begin, [judge, which, named]), (stop, end, []), (kept, keep_it, [])):
        wiring.stream(pressed.click, _then(deed, looking), inputs=inputs, outputs=outputs, message=message)
    return outputs, message, looking


def _then(deed: Callable[..., Awaitable[None]], looking: Callable[[Asking], Shown]) -> Callable[..., Shown]:
    """Return a handler that does something, and then shows how it goes."""

    async def done(asking: Asking, *chosen: Any) -> Shown:
        await deed(asking, *chosen)
        async with aclosing(looking(asking)) as coming:
            async for each in coming:
                yield each

    done.__name__ = deed.__name__
    return done


def _ended(watch: Watch) -> str:
    """Return what screen readers are told once it has ended."""
    if watch.under_way:
        return ""
    return {"failed": "The judge gave no whole answer.", "through": "The judge is through."}.get(
        watch.state, STATES.get(watch.state, "")
    )
