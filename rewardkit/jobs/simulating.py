"""`rewardkit simulate` beside its stage: personas who label in a running page, and studies that are sized."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import sqlalchemy as sa

from rewardkit.config import JobConfig
from rewardkit.errors import ConfigError, DataError, JobFailed, NoDatabaseError
from rewardkit.extras import require_all
from rewardkit.jobs.labelling import comparisons_of
from rewardkit.label_config import LabelConfig
from rewardkit.progress import log, progress
from rewardkit.simulate_config import SimulateConfig
from rewardkit.simulation.annotators import form_comparisons, level_of
from rewardkit.simulation.answering import Worth
from rewardkit.simulation.crowd import Pairs
from rewardkit.simulation.driving import House, Tour, drive, tours_of, visitors_of
from rewardkit.simulation.personas import TYPICAL_SECONDS, Persona
from rewardkit.simulation.visiting import Visitor
from rewardkit.store.labelling_tables import items
from rewardkit.store.store import Store
from rewardkit.types import Response

Summary = dict[str, Any]
STATED_PAIRS = 20_000
"""Pairs that stand for a distribution that is stated."""


@dataclass(frozen=True)
class Party:
    """Personas who are ready to visit a page.

    Attributes:
        page: Its address.
        personas: Who.
        links: Where each of them comes in, by name.
        house: What they know.
        wanted: Labels that the page still wants.
        least: Seconds before which the page takes no answer.
    """

    page: str
    personas: Sequence[Persona]
    links: dict[str, str]
    house: House
    wanted: int
    least: float = 0.0

    def plan(self) -> Summary:
        """Tell what a visit would be, without one."""
        each_takes = ((each.settings.seconds or TYPICAL_SECONDS) / self.house.speed for each in self.personas)
        dwell = fmean(max(seconds, self.least) for seconds in each_takes)
        minutes = self.wanted * dwell / len(self.personas) / 60
        names = ", ".join(each.name for each in self.personas)
        return {"page": self.page, "people": names, "labels wanted": self.wanted, "minutes, about": round(minutes, 1)}


def gather(config: JobConfig, url: str, *, people: int | None = None, speed: float = 1.0) -> Party:
    """Get personas ready to visit the page that runs on a job's database.

    Args:
        config: The job that the page was started with; its sections `simulate` and `label` are used.
        url: Where the page is.
        people: How many; one of each simulated human if absent.
        speed: How many times faster than people they are.

    Raises:
        ConfigError: A section is missing, there is nobody to visit, or the address is none.
        DataError: A text that may be shown states no level, or is stated with two.
        NoDatabaseError: Nothing has been imported yet.
        MissingExtraError: A package of the extra ui is not installed.
    """
    require_all("ui")
    from labeling_ui.progress import progress_of
    from labeling_ui.sessions import Sessions, secret_of

    simulate = _section(config)
    if config.label is None:
        raise ConfigError("the config has no section 'label'", fix="give the config that the page was started with")
    page, study = _address(url), config.label.study or config.name
    humans = sum(each.kind == "human" for each in simulate.annotators)
    personas = visitors_of(simulate.annotators, people or humans, config.seed)
    chat = config.label.chat
    with Store.open(config.database, create=False) as store:
        # Nobody knows what a reply is worth that a model has yet to write.
        worth = Worth({}) if chat else _worth(store, study, simulate.level)
        standing = progress_of(store, study)
    sessions = Sessions(secret_of(config.workspace), study)
    links = {each.name: f"{page}/persona/{sessions.persona(each.name)}" for each in personas}
    right = tuple(question.right for question in config.label.check.questions)
    wanted = standing.wanted - standing.done
    if chat:
        turns = [min(chat.most_turns, max(chat.least_turns, len(each.settings.messages))) for each in personas]
        wanted = chat.conversations * sum(turns)
    return Party(page, personas, links, House(worth, right, speed), wanted, config.label.least_seconds)


def visit(party: Party) -> Summary:
    """Let personas label in a page until nothing is left for them; return what became of it.

    Raises:
        JobFailed: Nobody answers there, or none of them could go on.
        KeyboardInterrupt: It was interrupted; what they had said by then is kept.
    """
    _require_server(party.page)
    log(
        f"simulate: {party.wanted} labels are wanted now; gold, repeats and items on which people disagree come on "
        f"top, and nobody answers in less than {party.least:g} s (label.least_seconds)"
    )
    stop, start = Event(), time.monotonic()
    with progress("simulate", party.wanted) as advance:
        tours = tours_of(party.links, party.personas, party.house, advance, stop)
        try:
            drive(tours, stop)
        except KeyboardInterrupt:
            log(f"simulate: interrupted after {sum(tour.labels for tour in tours)} labels, which are kept")
            raise
    seconds = time.monotonic() - start
    failed = {tour.persona.name: tour.problem for tour in tours if tour.problem}
    for name, problem in failed.items():
        log(f"simulate: {name} could not go on: {problem}")
    if len(failed) == len(tours):
        raise JobFailed("none of the simulated annotators could go on", where=party.page)
    return _summary(tours, seconds)


def size(config: JobConfig) -> Summary:
    """Tell what a planned study's labels would be worth (`rewardkit simulate --size`).

    Raises:
        ConfigError: The section `simulate.study` is missing, or there is nobody to ask.
        DataError: Some responses state a level and others do not, or none is better than another.
    """
    from rewardkit.simulation import sizing

    simulate = _section(config)
    study = simulate.study
    if study is None:
        fix = "state items, budget and price at least"
        raise ConfigError("the config has no section 'simulate.study'", fix=fix)
    if config.label is not None and config.label.task != "comparison":
        raise ConfigError(f"the task is {config.label.task!r}", where="label.task", expected="comparison, to be sized")
    humans = [each for each in simulate.annotators if each.kind == "human"]
    pairs = _pairs_in_store(config, simulate)
    source = f"{len(pairs or ())} comparisons in {config.shown_database}"
    if pairs is None:
        source = f"stated: {', '.join(f'{each:g}' for each in study.level_differences)}, one as frequent as the others"
        pairs = sizing.stated_pairs(study, STATED_PAIRS, config.seed)
    designs = sizing.size(study, humans, pairs, config.seed)
    return {
        "people": study.people,
        "studies simulated": study.replicates,
        "differences of level": source,
        "aggregate": "majority, a draw half right (as `anchored` with strength_scale 0)",
        "left out": f"who has less than {study.least_gold_accuracy:g} of the gold right; their labels are not replaced",
        "designs": [asdict(each) for each in designs],
    }


def _pairs_in_store(config: JobConfig, simulate: SimulateConfig) -> Pairs | None:
    """Return the comparisons that would be labelled; None where there are none, or no response states a level."""
    try:
        with Store.open(config.database, create=False) as store:
            if not any(simulate.level in response.metadata for response in store.responses()):
                return None
            found = [*_stored(store, config)] or [*_formed(store, simulate)]
    except NoDatabaseError:
        return None
    gaps = np.array([level_of(a, simulate.level) - level_of(b, simulate.level) for a, b in found])
    doublings = np.array([math.log2(len(a.text)) - math.log2(len(b.text)) for a, b in found])
    return Pairs(np.abs(gaps), np.where(gaps < 0, -doublings, doublings)) if found else None


def _stored(store: Store, config: JobConfig) -> Iterator[tuple[Response, Response]]:
    """Yield what is work for the annotators: no gold, and nothing that comes about while people label."""
    from labeling_ui.choosing import known_items

    label = config.label or LabelConfig()
    wanted, known = {each.id for each in comparisons_of(store, label)}, known_items(store, label.study or config.name)
    for each in store.comparisons():
        if each.comparison.id in wanted and (each.response_a.id, each.response_b.id) not in known:
            yield each.response_a, each.response_b


def _formed(store: Store, simulate: SimulateConfig) -> Iterator[tuple[Response, Response]]:
    responses = {response.id: response for response in store.responses()}
    by_prompt: defaultdict[str, list[Response]] = defaultdict(list)
    for response in responses.values():
        by_prompt[response.prompt_id].append(response)
    for each in form_comparisons(by_prompt, simulate.level, simulate.min_level_difference):
        yield responses[each.response_a], responses[each.response_b]


def _summary(tours: Sequence[Tour], seconds: float) -> Summary:
    labels = sum(tour.labels for tour in tours)
    each = [took for tour in tours for took in tour.each_seconds]
    answers = [took for tour in tours for took in tour.answer_seconds]
    return {
        "labels (gold and repeats included)": labels,
        "seconds": round(seconds, 1),
        "labels a second": round(labels / seconds, 2),
        "seconds each (median)": round(median(each), 3) if each else None,
        "answer to next item, ms (median)": round(1000 * median(answers), 1) if answers else None,
        "refused": sum(len(tour.visitor.refusals) for tour in tours),
        "reviews": sum(tour.reviews for tour in tours),
        "reviews in which the judge's choice was taken over": sum(tour.followed for tour in tours),
        "by annotator": {tour.persona.name: tour.labels for tour in tours},
        "where they ended": {tour.persona.name: "problem" if tour.problem else tour.step for tour in tours},
    }


def _require_server(page: str) -> None:
    """Ask once, so that an address at which nobody answers is one error, and no one of each persona."""
    visitor = Visitor(page, patience=0.0, timeout=10.0)
    try:
        visitor.ask("/healthz")
    finally:
        visitor.leave()


def _section(config: JobConfig) -> SimulateConfig:
    if config.simulate is None:
        raise ConfigError("the config has no section 'simulate'", fix="add simulate: to it")
    if not any(each.kind == "human" for each in config.simulate.annotators):
        raise ConfigError("all simulated annotators are judges", where="simulate.annotators", expected="a human")
    return config.simulate


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"{url!r} is no address", where="--visit", expected="such as http://127.0.0.1:7860")
    return f"{parts.scheme}://{parts.netloc}"


def _worth(store: Store, study: str, level: str) -> Worth:
    """Return the level of each text that the page may show."""
    with store.reading() as connection:
        shown = connection.execute(sa.select(items.c.responses).where(items.c.study == study)).scalars()
        ids = {each for responses in shown for each in responses}
    if not ids:
        fix = "start the page first: rewardkit label CONFIG"
        raise ConfigError(f"the study {study!r} has no items in this database", where=store.where, fix=fix)
    stated: dict[str, Response] = {}
    for response in store.responses():
        if response.id in ids:
            known = stated.setdefault(response.text, response)
            if level_of(known, level) != level_of(response, level):
                raise DataError(
                    f"one text is stated with two levels: {response.text[:60]!r}",
                    where=f"responses {known.id} and {response.id}",
                    fix="state one, or leave one out: the page shows texts only",
                )
    return Worth({text: level_of(response, level) for text, response in stated.items()})
