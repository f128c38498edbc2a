"""A study of comparisons that were made here, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labeling_ui.answers import ComparisonAnswer
from labeling_ui.counted import Counted
from labeling_ui.desk import Desk
from labeling_ui.entrances import Entrances
from labeling_ui.office import Office
from labeling_ui.people import People
from labeling_ui.sessions import Sessions
from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(database_url):
    with Store.open(database_url) as opened:
        yield opened


@pytest.fixture
def desk(store, clock):
    # Without a least time: the clock stands still unless a test moves it.
    return Desk(store, Study("study", LabelConfig(least_seconds=0.0)), clock)


@pytest.fixture
def stock(desk):
    """Add items to the study."""
    return lambda sets, **how: add_items(desk.store, desk.study, sets, **how)


@pytest.fixture
def settle(desk):
    """Change what the study settles."""

    def change(**settings):
        desk.study = replace(desk.study, config=desk.study.config.model_copy(update=settings))

    return change


@pytest.fixture
def comparisons(store, add_comparisons):
    """Add comparisons to the study's store; return the responses of each, by its id."""
    return lambda count, *, tag="": add_comparisons(store, count, tag=tag)


@pytest.fixture
def join(desk):
    """Let somebody join the study and, unless they are not to, agree to what it says; return their id."""
    people = People(desk.store, desk.study.name, clock=desk.clock)

    def come(name, *, agreed=True):
        person = people.join("invitation", name, Annotator.of("human", name))
        if agreed:
            people.keep(person, "consented", lambda _: desk.study.agreement)
        return person

    return come


@pytest.fixture
def office(desk):
    """The study as researchers see it."""
    people, sessions = People(desk.store, desk.study.name, clock=desk.clock), Sessions("s" * 40, desk.study.name)
    made = Office(desk, people, sessions, Entrances(desk.study, people, sessions))
    # Here, where a test can look at it; tests of `labeling_ui.counting` let it count elsewhere.
    made.counts = Counted(desk.store, desk.study.name)
    return made


@pytest.fixture
def researcher(office):
    """The row of a researcher."""
    known = office.people.join("researcher", "rae", Annotator.of("human", "study-rae"), role="admin")
    return office.people.get(known)


@pytest.fixture
def prefer(desk):
    """Answer what a person gets next, in the frame of the item; return the lease."""

    def answer(person, choice, *, strength=2, **more):
        lease = desk.next(person)
        shown = (
            choice
            if choice in (None, "tie", "both_bad")
            else ("second", "first")[(choice == "a") == (lease.shown[0] == 0)]
        )
        strong = strength if choice in ("a", "b") else None
        desk.submit(lease.id, person, ComparisonAnswer(choice=shown, strength=strong, **more))
        return lease

    return answer
