"""Assisted review: the blind answer first, then a judge's points; both are in the store."""

from __future__ import annotations


def test_points_are_verified_corrected_or_rejected(visit):
    visitor = visit("review")
    page = visitor.page
    visitor.press("6")
    visitor.send("What a model says")
    assert visitor.said() == "Your answer is saved."
    assert page.locator(".scale [aria-checked=true]").inner_text().startswith("better")
    # The judge's words are Markdown, and its letters are explained.
    assert page.locator(".point em").inner_text() == "rhythm"
    assert page.locator(".point .muted").inner_text().startswith("The model calls Response")
    send, points = page.locator(".send"), page.locator(".point")
    assert page.locator(".hint").inner_text() == "3 points left to decide."
    points.nth(0).get_by_role("radio", name="Right").click()
    points.nth(1).get_by_role("radio", name="Not quite").click()
    points.nth(1).locator("textarea").fill("")
    points.nth(2).get_by_role("radio", name="Wrong").click()
    assert page.locator(".hint").inner_text() == "A corrected point has no words."
    points.nth(1).locator("textarea").fill("It has a beat.")
    # A reload loses nothing.
    page.reload()
    visitor.heading("What a model says")
    assert points.nth(1).locator("textarea").input_value() == "It has a beat."
    page.locator(".screen-heading").focus()
    visitor.press("2")
    send.click()
    visitor.heading("Item 2")
    blind, reviewed = visitor.site.labels(visitor.name, superseded=True)
    assert (blind.strength, reviewed.strength) == (2, 2) and blind.choice != reviewed.choice
    assert reviewed.supersedes == blind.id and blind.metadata["arm"] == reviewed.metadata["arm"] == "review"
    assert reviewed.metadata["points"] == {
        "verdict": {"decision": "verified"},
        "critique 1": {"decision": "edited", "text": "It has a beat."},
        "critique 2": {"decision": "rejected"},
    }
    assert not visitor.errors and not visitor.foreign()


def test_a_review_is_done_with_the_keyboard_and_what_a_judge_says_cannot_act(visit):
    visitor = visit("review")
    visitor.press("4")
    visitor.send("What a model says")
    visitor.press("Tab")
    while visitor.page.evaluate("document.activeElement.getAttribute('role')") != "radio":
        visitor.press("Tab")
    visitor.press("Space")
    # Or with a key of its own, for the next point that is open.
    visitor.press("w")
    assert visitor.said() == "Point 2: Wrong"
    visitor.press("q")
    # There the words are corrected: letters are letters.
    visitor.page.keyboard.type("r")
    visitor.press("Escape", "r")
    assert visitor.said() == "All points are decided."
    visitor.page.locator(".screen-heading").focus()
    visitor.send("Item 2")
    assert [label.choice for label in visitor.site.labels(visitor.name)] == ["tie"]
