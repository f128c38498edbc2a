"""Studies to take pictures of: real databases and servers, people who do not exist, and models that do.

The working day of the simulated annotators is over in seconds: the desk gets a clock that goes from one answer to the
next. Everything else, from the first screen to the last number, is what anybody's study would be.
"""

from __future__ import annotations

import heapq
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from labeling_ui.answers import ANSWER
from labeling_ui.desk import Desk
from labeling_ui.people import People
from labeling_ui.steps import checked
from labeling_ui.study import Study
from labeling_ui.subjects import load_subject
from rewardkit.config import JobConfig, load_config
from rewardkit.jobs.labelling import stock
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.answering import Worth, answer_to
from rewardkit.simulation.personas import Persona
from rewardkit.store.store import Store
from rewardkit.types import Annotator, content_id

DEMO = Path(__file__).parents[1] / "configs" / "demo"
HOURS, SPELL = 7, 1500.0
"""Since when they come, one after the other, and for how many seconds each stays."""
PEOPLE = tuple(
    map(
        SimulatedAnnotatorConfig.model_validate,
        (
            {"name": "careful", "reliability": 1.8, "seconds": 45, "tie_width": 0.4},
            {"name": "usual", "reliability": 1.2, "position_bias": 0.2, "lapse": 0.05, "seconds": 36, "tie_width": 0.3},
            {"name": "long-lover", "reliability": 1.0, "length_bias": 1.2, "seconds": 40},
            {"name": "quick", "reliability": 0.8, "position_bias": 0.7, "lapse": 0.1, "seconds": 30},
            {"name": "steady", "reliability": 1.5, "seconds": 42, "tie_width": 0.3},
            {"name": "clicker", "spam": "first", "seconds": 20},
        ),
    )
)


@dataclass(frozen=True)
class Place:
    """A study that is served.

    Attributes:
        invitations: Links that let one person in each.
        researchers: The link that lets researchers in.
    """

    invitations: list[str]
    researchers: str


@dataclass
class Clock:
    """Shows what it is set to."""

    now: float

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self.now


@dataclass(frozen=True, order=True)
class Shift:
    """Somebody at work: ordered by when they are there for the next item."""

    at: float
    ends: float
    done: int
    persona: Persona = field(compare=False)
    person: str = field(compare=False)


def written(folder: Path, label: dict[str, Any], **sections: Any) -> Path:
    """Write a study's config; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"name": folder.name, "workspace": str(folder), "label": {"port": 0, **label}, **sections}
    file = folder / "study.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def fill(config: Path, *files: str, gold: str = "") -> None:
    """Import files of the demo, and make items of them.

    Args:
        config: Of the study.
        files: What is to be labelled.
        gold: Another one, of whose responses the better is known by the levels that it states.
    """
    job = load_config(config)
    for file in files:
        rewardkit("import", str(DEMO / file), "--source", "sample", "--to", str(job.database))
    if gold:
        pairs = config.with_name("gold.jsonl")
        pairs.write_text("\n".join(map(json.dumps, _known(DEMO / gold))), encoding="utf-8")
        rewardkit("import", str(pairs), "--source", "gold", "--to", str(job.database))
    with Store.open(job.database, create=False) as store:
        stock(store, _study(job))


def work(config: Path) -> None:
    """Let people who do not exist label for some hours that end now; one of them is paused in the end."""
    job = load_config(config)
    study, now = _study(job), time.time()
    with Store.open(job.database, create=False) as store:
        worth = Worth({row["response"]: float(row["meta"]["level"]) for row in _rows(*sorted(DEMO.glob("*.jsonl")))})
        clock = Clock(now - HOURS * 3600)
        people = People(store, study.name, clock)
        shifts = []
        for settings in PEOPLE:
            person = _join(people, study, settings.name)
            shifts.append(Shift(clock.now, min(now, clock.now + SPELL), 0, Persona(settings, settings.name, 1), person))
            clock.now += (HOURS * 3600 - SPELL) / (len(PEOPLE) - 1)
        heapq.heapify(shifts)
        desk = Desk(store, study, clock)
        while shifts:
            if then := _answer(desk, clock, worth, heapq.heappop(shifts)):
                heapq.heappush(shifts, then)
        clock.now = now
        people.set_state(person, "paused", why="takes the first one each time")


def _answer(desk: Desk, clock: Clock, worth: Worth, shift: Shift) -> Shift | None:
    """Let somebody label an item; None where their time or their work is over."""
    clock.now = shift.at
    lease = desk.next(shift.person)
    if lease is None:
        return None
    then = shift.at + max(desk.study.config.least_seconds, shift.persona.seconds(lease.id))
    if then > shift.ends:
        desk.give_back(lease.id, shift.person)
        return None
    with desk.store.reading() as connection:
        responses = load_subject(connection, lease.responses).responses
    item = {"task": lease.task, "responses": [{"text": responses[place].text} for place in lease.shown]}
    answer = answer_to(shift.persona, item, worth, shift.done)
    clock.now = then
    desk.submit(lease.id, shift.person, ANSWER.validate_python(answer))
    return replace(shift, at=then, done=shift.done + 1)


def _join(people: People, study: Study, name: str) -> str:
    pseudonym = f"{study.name}-{content_id('pseudonym', name)[:12]}"
    person = people.join("persona", name, Annotator.of("human", pseudonym, simulated=True))
    people.keep(person, "consented", lambda _: study.agreement)
    if study.config.check.questions:
        right = [question.right for question in study.config.check.questions]
        people.keep(person, "checked", lambda details: checked(details, study, right))
    return person


def _study(job: JobConfig) -> Study:
    assert job.label is not None
    return Study.of(job.label, job.name)


def _known(file: Path) -> Iterator[dict[str, str]]:
    """Yield, for each prompt of a file, its best and its worst response."""
    for prompt, group in groupby(_rows(file), key=lambda row: str(row["prompt"])):
        ordered = sorted(group, key=lambda row: float(row["meta"]["level"]))
        texts = {"prompt": prompt, "response_a": ordered[-1]["response"], "response_b": ordered[0]["response"]}
        yield {**texts, "preference": "a", "annotator": "editor"}


def _rows(*files: Path) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def level_of(shown: str) -> float:
    """Return the level that the demo states for a text, by how it begins."""
    for row in _rows(*sorted(DEMO.glob("*.jsonl"))):
        if row["response"].split()[:8] == shown.split()[:8]:
            return float(row["meta"]["level"])
    raise LookupError(f"no text of the demo begins with {shown[:60]!r}")


def rewardkit(*words: str) -> None:
    """Run the command line; what it says goes to standard error."""
    subprocess.run([sys.executable, "-m", "rewardkit", *words], check=True, stdout=sys.stderr)


@contextmanager
def served(config: Path) -> Iterator[Place]:
    """Serve a study in a process of its own until the block ends."""
    words = [sys.executable, "-m", "rewardkit", "label", str(config), "--invite", "4"]
    said = config.with_suffix(".log")
    with said.open("w") as out:
        server = subprocess.Popen(words, stderr=out)
    try:
        while (lines := said.read_text(encoding="utf-8")).count("/join/") < 4:
            if server.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{lines}")
            time.sleep(0.2)
        until_it_answers(re.findall(r"serving at (\S+)", lines)[0])
        yield Place(re.findall(r"\S+/join/\S+", lines), re.findall(r"\S+/researcher/\S+", lines)[0])
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def until_it_answers(address: str) -> None:
    """Wait for a server, which says where it is before it listens."""
    for _ in range(300):
        try:
            with urlopen(f"{address}healthz", timeout=5):  # noqa: S310 - of ours
                return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError(f"nobody answers at {address}")
