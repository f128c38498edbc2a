"""From the invitation to the completion code, and the screens on which the way ends or rests."""

from __future__ import annotations

import re

from labeling_ui.people import People

CHECK = "A few questions"


def answer(page, *options):
    for question, option in enumerate(options):
        page.locator("fieldset").nth(question).locator("input").nth(option - 1).check()
    page.get_by_role("button", name="Send the answers").click()


def test_the_whole_way(visit):
    visitor = visit("journey", agreed=False)
    page, site = visitor.page, visitor.site
    assert visitor.heading() == "Before you begin"
    assert "Longer is not better" in page.locator(".reading").inner_text()
    page.get_by_role("button", name="I have read this and agree").click()
    assert visitor.heading(CHECK) and "You have 2 tries." in page.locator(".questions").inner_text()
    assert "Longer is not better" in page.get_by_role("region", name="Guidelines").inner_text()
    page.get_by_role("button", name="Send the answers").click(force=True)
    assert visitor.said() == "2 questions left."
    answer(page, 1, 1)
    page.get_by_text("Not right yet: question 2.").wait_for()
    assert "You have 1 try left." in page.locator(".questions").inner_text()
    answer(page, 1, 2)
    for number in (1, 2):
        visitor.heading(f"Item {number}")
        assert page.get_by_text("This item belongs to the qualification.").is_visible()
        visitor.press("4")
        visitor.send(f"Item {number + 1}")
    for number in (3, 4):
        visitor.heading(f"Item {number}")
        visitor.press("1")
        visitor.send(f"Item {number + 1}" if number == 3 else "Thank you")
    code = site.sessions.code(site.person(visitor.name).id)
    assert page.locator(".code").inner_text() == code
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the code").click()
    page.get_by_text("The code is copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == code
    said = [label.choice for label in site.labels(visitor.name)]
    assert said[:2] == ["tie", "tie"] and len(said) == 4
    assert not visitor.errors and not visitor.foreign()


def test_two_failed_tries_end_it(visit):
    visitor = visit("journey")
    answer(visitor.page, 2, 1)
    visitor.page.get_by_text("Not right yet: questions 1, 2.").wait_for()
    answer(visitor.page, 2, 1)
    visitor.heading("This study ends here for you")
    visitor.page.reload()
    visitor.heading("This study ends here for you")


def test_prolific_gets_a_link_back(browser, sites):
    site = sites["journey"]
    person = "5f0000000000000000000001"
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.base}/start?PROLIFIC_PID={person}&STUDY_ID=s&SESSION_ID=t")
    page.get_by_role("button", name="I have read this and agree").click()
    page.get_by_role("heading", name=CHECK).wait_for()
    answer(page, 1, 2)
    for number in (1, 2, 3, 4):
        page.get_by_role("heading", name=f"Item {number}").wait_for()
        page.keyboard.press("4")
        page.locator(".send[aria-disabled=false]").click()
    link = page.get_by_role("link", name="Finish on Prolific")
    code = page.locator(".code").inner_text()
    assert link.get_attribute("href") == f"https://app.prolific.com/submissions/complete?cc={code}"
    context.close()


def test_a_paused_annotator_is_told_and_comes_back(visit):
    visitor = visit("compare")
    people = People(visitor.site.store, "compare")
    person = visitor.site.person(visitor.name).id
    people.set_state(person, "paused")
    visitor.press("4")
    visitor.ready()
    visitor.press("Enter")
    visitor.heading("You are paused")
    assert "You are paused; your work is kept." in visitor.page.get_by_role("alert").inner_text()
    people.set_state(person, "active")
    visitor.page.get_by_role("button", name="Look again").click()
    visitor.heading("Item 1")
    assert not visitor.site.labels(visitor.name)


def test_time_stands_still_in_a_break(visit):
    visitor = visit("compare")
    first = visitor.shown(1)
    visitor.page.locator("#rationale").fill("halfway")
    visitor.press("Escape", "p")
    visitor.heading("Time stands still")
    visitor.page.reload()
    visitor.heading("Time stands still")
    visitor.press("p")
    visitor.heading("Item 1")
    assert visitor.shown(1) == first
    assert visitor.page.locator("#rationale").input_value() == "halfway"


def test_skipping_asks_first_and_gives_the_item_back(visit):
    visitor = visit("compare")
    first = visitor.shown(1)
    visitor.press("s")
    visitor.page.get_by_role("dialog").wait_for()
    visitor.press("Escape", "4")
    assert visitor.shown(1) == first
    visitor.press("s", "Enter")
    visitor.page.get_by_text("The item was skipped.").wait_for()
    assert visitor.heading("Item 1") and visitor.shown(1) != first
    assert not visitor.site.labels(visitor.name)


def test_progress_and_pace(visit):
    # Two items of the qualification, and the two that one annotator gets at most.
    visitor = visit("journey")
    answer(visitor.page, 1, 2)
    visitor.heading("Item 1")
    assert visitor.page.locator(".progress").inner_text() == "0 of 4"
    visitor.press("4")
    visitor.send("Item 2")
    assert re.fullmatch(r"1 of 4 · \d+ s each · about \d+ s left", visitor.page.locator(".progress").inner_text())
