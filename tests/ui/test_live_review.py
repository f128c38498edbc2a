"""A judge that is asked while the annotator waits, in a real browser: its words as they come, lost and found again."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

TALKING = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))
model, served, HOSTILE = (TALKING[name] for name in ("model", "served", "HOSTILE"))
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
# Everybody gets an item of their own, of which the model has said nothing yet.
ASSIGNMENT = {"overlap": 1, "most_overlap": 1, "repeats": 0.0}
WORDS = ["A is vivid, ", "and has *rhythm*.\n", None, f"B is flat: {HOSTILE}\n"]


@pytest.fixture(scope="module")
def site(model, tmp_path_factory, secret, site_of):
    folder = tmp_path_factory.mktemp("live")
    with Store.open(folder / "rewardkit.db") as store:
        for number in range(30):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It *rained*.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    review = {"share": 1.0, "live": {"url": model.url, "model": "wise", "rubric": "joke"}}
    with served(folder, secret=secret, review=review, assignment=ASSIGNMENT) as (live, _):
        yield site_of(live.base, live.store, live.study)


@pytest.fixture
def waiting(visit, site, model):
    """Let somebody new answer, and wait for what the model says."""
    model.go.clear()
    model.script = {"Write a short": WORDS, "Which response is better?": ["A"], "Rate both": ["A: 3, B: 4"]}

    def answer():
        visitor = visit("live", site=site)
        visitor.press("6")
        visitor.send("What a model says")
        visitor.page.locator(".streaming", has_text="rhythm").wait_for()
        return visitor

    yield answer
    model.go.set()
    model.script = {}


def test_words_are_shown_as_they_come_and_decided_when_they_are_all_there(waiting, model):
    visitor = waiting()
    page = visitor.page
    # As it was written: nothing is rendered before it is whole.
    assert page.locator(".streaming").inner_text().strip() == "A is vivid, and has *rhythm*."
    assert page.locator(".writing-now").inner_text() == "The model is writing…"
    assert page.locator(".send, [role=radio]").count() == 0
    model.go.set()
    page.locator(".send").wait_for()
    assert visitor.said() == "The model has finished. Check what it says."
    assert page.locator(".point").count() >= 4 and page.locator(".point em").inner_text() == "rhythm"
    # What a model writes cannot act.
    assert page.title() not in "12" and page.locator(".point img, .point script").count() == 0
    for point in page.locator(".point").all():
        point.get_by_role("radio", name="Right").click()
    page.locator(".screen-heading").focus()
    visitor.press("2")
    page.locator(".send").click()
    visitor.heading("Item 2")
    blind, reviewed = visitor.site.labels(visitor.name, superseded=True)
    assert blind.choice != reviewed.choice and reviewed.supersedes == blind.id
    assert reviewed.metadata["judge"] == "wise/critique.v1/joke" and reviewed.metadata["points"]["verdict"]
    assert not visitor.errors and not visitor.foreign()


def test_a_reload_asks_again_and_a_connection_that_breaks_is_taken_up_once(waiting, model):
    visitor = waiting()
    page = visitor.page
    page.reload()
    page.locator(".streaming", has_text="rhythm").wait_for()
    broken = []

    def break_off(route):
        broken.append(route)
        route.abort() if len(broken) < 3 else route.continue_()

    page.route("**/api/review/points", break_off)
    page.reload()
    # Once by itself, and then by hand.
    page.get_by_role("button", name="Try again").wait_for()
    assert len(broken) == 2
    assert page.locator(".banner:visible").inner_text().startswith("The model's words broke off.")
    model.go.set()
    visitor.press("Enter")
    page.locator(".send").wait_for()
    assert len(broken) == 3


def test_a_model_that_says_nothing_useful_is_passed_over(waiting, model):
    visitor = waiting()
    model.script["Which response is better?"] = ["Who knows."]
    model.go.set()
    visitor.heading("Item 2")
    assert visitor.said() == "The model gave no answer this time; yours is saved."
    assert len(visitor.site.labels(visitor.name)) == 1


def test_waiting_hinders_nobody(waiting, axe):
    visitor = waiting()
    visitor.page.emulate_media(reduced_motion="reduce")
    for width, scheme in LOOKS:
        visitor.look(width, scheme)
        assert not axe(visitor.page), (width, scheme)
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visitor.page.evaluate("document.activeElement.className") == "screen-heading"
