"""Every screen at two widths, light and dark: no serious violation of axe-core, nothing superfluous, in order."""

from __future__ import annotations

import pytest

from labeling_ui.people import People
from rewardkit.types import Annotator

LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
DISPATCH = "how => { document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, ...how})) }"
PARTS = {
    "compare": ["consent", "item", "keys", "guidelines", "latest", "earlier", "break", "paused"],
    "journey": ["check", "failed"],
    "ranking": ["ranking", "done"],
    "rating": ["rating"],
    "rated": ["rated"],
    "review": ["review"],
}


def press_and_wait(visitor, key, selector):
    visitor.press(key)
    visitor.page.locator(selector).wait_for()


def still(visitor):
    """Without transitions, in the middle of which colours are neither here nor there."""
    visitor.page.emulate_media(reduced_motion="reduce")
    return visitor


def compare(visit):
    """Yield the name of each screen of a comparison, while it is shown."""
    visitor = still(visit("compare", agreed=False))
    yield "consent", visitor
    visitor.page.get_by_role("button", name="I have read this and agree").click()
    visitor.heading("Item 1")
    visitor.page.locator("summary").click()
    press_and_wait(visitor, "2", "[aria-checked=true]")
    visitor.page.get_by_role("button", name="better written").click()
    visitor.press("m", "Tab")
    visitor.page.get_by_role("button", name="Bad").click()
    visitor.page.get_by_role("button", name="Edit Response 2").click()
    visitor.page.locator(".screen-heading").focus()
    visitor.press("m")
    yield "item", visitor
    visitor.press("Escape")
    for key, name in (("?", "keys"), ("g", "guidelines")):
        press_and_wait(visitor, key, "dialog")
        yield name, visitor
        visitor.press("Escape")
    visitor.send("Item 2")
    press_and_wait(visitor, "u", "dialog li")
    yield "latest", visitor
    visitor.page.locator("dialog li button").click()
    visitor.heading("Change an earlier answer")
    yield "earlier", visitor
    visitor.press("p")
    visitor.heading("Time stands still")
    yield "break", visitor
    people = People(visitor.site.store, visitor.site.study.name)
    people.set_state(visitor.site.person(visitor.name).id, "paused")
    visitor.page.reload()
    visitor.heading("You are paused")
    yield "paused", visitor


def journey(visit):
    visitor = still(visit("journey"))
    for name, heading in (("check", "A few questions"), ("failed", "This study ends here for you")):
        for question in range(2):
            visitor.page.locator("fieldset").nth(question).locator("input").nth(1 - question).check()
        visitor.page.get_by_role("button", name="Send the answers").click()
        if name == "check":
            visitor.page.get_by_text("Not right yet: questions").wait_for()
        visitor.heading(heading)
        yield name, visitor


def ranking(visit):
    visitor = still(visit("ranking"))
    visitor.press("3", "1", "=", "2")
    yield "ranking", visitor
    for heading in ("Item 2", "Thank you"):
        visitor.press("c")
        if visitor.page.locator(".hint").inner_text():
            visitor.press("c")
        visitor.send(heading)
    yield "done", visitor


def rating(visit):
    visitor = still(visit("rating"))
    visitor.press("4", "c")
    yield "rating", visitor


def rated(visit):
    visitor = still(visit("rated"))
    visitor.page.locator("summary").click()
    visitor.page.get_by_role("radiogroup", name="craft, Response 1").locator("[role=radio]").nth(2).click()
    yield "rated", visitor


def review(visit):
    visitor = still(visit("review"))
    visitor.press("5")
    visitor.send("What a model says")
    visitor.page.get_by_role("radio", name="Not quite").nth(1).click()
    visitor.page.get_by_role("radio", name="Wrong").nth(2).click()
    yield "review", visitor


@pytest.mark.parametrize("walk", [compare, journey, ranking, rating, rated, review], ids=lambda walk: walk.__name__)
def test_no_screen_hinders_anybody(visit, axe, walk):
    seen = []
    for name, visitor in walk(visit):
        seen.append(name)
        page = visitor.page
        assert page.locator("h1:visible").count() == 1 and page.locator("main").count() == 1
        for width, scheme in LOOKS:
            visitor.look(width, scheme)
            assert axe(page) == [], f"{name} at {width}, {scheme}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"
        visitor.look(1280, "light")
    assert seen == PARTS[walk.__name__]


def test_the_way_in_hinders_nobody(window, sites, axe):
    page, site = window.new_page(), sites["compare"]
    # The form is there for those who have a password.
    People(site.store, site.study.name).join("password", "kim", Annotator.of("human", "kim"))
    for path, text in (("/login", "Log in"), ("/join/forged", "This invitation is not valid")):
        page.goto(sites["compare"].base + path)
        assert page.get_by_text(text).is_visible()
        for width, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert axe(page) == []


def test_the_page_is_only_ours(visit):
    visitor = visit("compare")
    page = visitor.page
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("footer:visible").count() == 0
    text = page.locator("body").inner_text()
    assert "Gradio" not in text and "API" not in text
    order = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName).join(' ')")
    assert order.startswith("H1 H2 H3")
    assert visitor.requests and not visitor.foreign() and not visitor.errors


def test_the_seven_cells_are_equal(visit):
    visitor = visit("compare")
    for width, scheme in LOOKS:
        visitor.look(width, scheme)
        boxes = [cell.bounding_box() for cell in visitor.page.locator(".scale .cell:not(.other)").all()]
        assert len(boxes) == 7 and len({box["y"] for box in boxes}) == 1
        widths = [box["width"] for box in boxes]
        assert max(widths) - min(widths) < 1 and min(widths) >= 44


def test_dialogs_keep_the_focus_and_give_it_back(visit):
    visitor = visit("compare")
    visitor.page.get_by_role("button", name="Keys").focus()
    press_and_wait(visitor, "?", "dialog")
    inside = "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
    for _ in range(4):
        visitor.press("Tab")
        assert visitor.page.evaluate(inside)
    # Behind the dialog nothing is chosen.
    visitor.press("1", "Escape")
    visitor.page.locator("dialog").wait_for(state="detached")
    assert visitor.page.evaluate("document.activeElement.textContent").startswith("Keys")
    assert visitor.page.locator("[role=radio][aria-checked=true]").count() == 0


def test_keys_act_only_where_nobody_writes(visit):
    visitor = visit("compare")
    visitor.press("n")
    visitor.page.keyboard.type("1 2 b s p u g ?")
    assert visitor.page.locator("#rationale").input_value() == "1 2 b s p u g ?"
    assert visitor.page.locator("[role=radio][aria-checked=true], dialog").count() == 0
    visitor.press("Escape")
    for more in ("repeat", "ctrlKey", "altKey", "metaKey", "shiftKey", "isComposing"):
        visitor.page.evaluate(DISPATCH, {"key": "1", more: True})
    assert visitor.page.locator("[role=radio][aria-checked=true]").count() == 0
    # A French keyboard writes digits with Shift.
    visitor.page.evaluate(DISPATCH, {"key": "&", "code": "Digit1"})
    assert visitor.page.locator("[role=radio][aria-checked=true]").count() == 1


def test_motion_is_reduced_where_it_is_unwanted(visit):
    visitor = visit("compare")
    visitor.page.emulate_media(reduced_motion="reduce")
    assert visitor.page.locator(".send").evaluate("node => getComputedStyle(node).transitionProperty") == "none"
