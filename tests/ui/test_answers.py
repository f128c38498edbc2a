"""What annotators say, and what of it stands in the store."""

from __future__ import annotations

import pytest

PREFERENCES = {"1": ("1", 3), "2": ("1", 2), "3": ("1", 1), "5": ("2", 1), "6": ("2", 2), "7": ("2", 3)}


def response_on(visitor, place):
    """Return the beginning of the text on a side, before any emphasis: what tells responses apart here."""
    return "It " if visitor.shown(place).startswith("It ") else "The "


def test_five_items_with_the_keyboard_alone(visit):
    visitor = visit("compare")
    expected = []
    for number, key in enumerate(("1", "6", "3", "b", "c"), 1):
        visitor.heading(f"Item {number}")
        preferred = PREFERENCES.get(key)
        expected.append((response_on(visitor, int(preferred[0])), preferred[1]) if preferred else (key, None))
        assert visitor.page.evaluate("document.activeElement.className") == "screen-heading"
        visitor.press(key)
        visitor.send(f"Item {number + 1}")
        assert visitor.said() == "Your answer is saved."
        assert visitor.page.evaluate("scrollY") == 0
    found = []
    for label in visitor.site.labels(visitor.name):
        texts = visitor.site.texts(label.comparison_id)
        if label.choice in texts:
            found.append((texts[label.choice][:4].split()[0] + " ", label.strength))
        else:
            found.append(({"both_bad": "b", None: "c"}[label.choice], label.strength))
    assert found == expected


def test_nothing_is_sent_before_there_is_something_to_send(visit):
    visitor = visit("compare")
    send = visitor.page.locator(".send")
    visitor.press("Enter")
    assert visitor.said() == "Choose an answer first."
    assert send.get_attribute("aria-disabled") == "true" and send.get_attribute("aria-describedby") == "missing"
    send.click(force=True)
    visitor.press("5")
    visitor.ready()
    visitor.page.locator(".screen-heading").focus()
    visitor.press("Control+Enter", "Shift+Enter", "Alt+Enter")
    assert visitor.heading() == "Item 1" and not visitor.site.labels(visitor.name)


def test_enter_sends_what_a_key_chose_wherever_the_focus_was(visit):
    visitor = visit("compare")
    chip = visitor.page.get_by_role("button", name="funnier")
    chip.click()
    visitor.press("2")
    visitor.send("Item 2")
    (label,) = visitor.site.labels(visitor.name)
    assert label.strength == 2 and label.metadata["reasons"] == ["funnier"]


@pytest.mark.parametrize("how", ["keys", "clicks"])
def test_a_burst_writes_one_label(visit, how):
    visitor = visit("compare")
    visitor.page.route("**/api/submit", lambda route: visitor.page.wait_for_timeout(150) or route.continue_())
    visitor.press("1")
    visitor.ready()
    if how == "keys":
        visitor.page.evaluate(
            """() => { for (const key of ["1", "Enter", "2", "Enter", "3", "Enter", "5", "Enter", "7", "Enter"])
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true})) }"""
        )
    else:
        visitor.page.locator(".send").dblclick()
    visitor.heading("Item 2")
    visitor.page.wait_for_timeout(200)
    assert [label.strength for label in visitor.site.labels(visitor.name)] == [3]


def test_both_responses_are_rated_by_criterion(visit):
    visitor = visit("rated")
    page = visitor.page
    page.locator("summary").click()
    for name, level in (("craft, Response 1", "4"), ("craft, Response 2", "2"), ("coherence, Response 2", "5")):
        page.get_by_role("radiogroup", name=name).locator("[role=radio]", has_text=level).click()
    # What is taken twice is let go.
    page.get_by_role("radiogroup", name="coherence, Response 2").locator("[aria-checked=true]").click()
    assert visitor.said() == "coherence, Response 2: no answer"
    page.reload()
    visitor.heading()
    assert page.get_by_role("radiogroup", name="craft, Response 1").locator("[aria-checked=true]").inner_text() == "4"
    shown = [response_on(visitor, place) for place in (1, 2)]
    page.locator(".screen-heading").focus()
    visitor.press("4")
    visitor.send("Item 2")
    (label,) = visitor.site.labels(visitor.name)
    texts = {each.id: each.text for each in visitor.site.store.responses()}
    ratings = [each for each in visitor.site.store.records("ratings") if each.annotator_id == label.annotator_id]
    assert sorted((each.criterion, each.value) for each in ratings) == [("craft", 2.0), ("craft", 4.0)]
    for place, value in ((0, 4.0), (1, 2.0)):
        (rating,) = [each for each in ratings if each.value == value]
        assert texts[rating.response_id].startswith(shown[place])


def test_reasons_rationale_and_criteria(visit):
    visitor = visit("compare")
    page = visitor.page
    page.get_by_role("button", name="better written").click()
    page.get_by_role("button", name="too long").click()
    page.get_by_role("button", name="too long").click()
    page.locator("summary").click()
    page.get_by_role("radiogroup", name="craft").get_by_role("radio", name="Response 2").click()
    page.get_by_role("radiogroup", name="originality").get_by_role("radio", name="Tie").click()
    coherence = page.get_by_role("radiogroup", name="coherence").get_by_role("radio", name="Response 1")
    coherence.click()
    coherence.click()
    second = response_on(visitor, 2)
    page.get_by_role("radio", name="Response 2 better").click()
    visitor.press("n")
    page.keyboard.type("1 b: it says more, with less.")
    visitor.ready()
    visitor.press("Control+Enter")
    visitor.heading("Item 2")
    (label,) = visitor.site.labels(visitor.name)
    texts = visitor.site.texts(label.comparison_id)
    letter = next(letter for letter, text in texts.items() if text.startswith(second))
    assert (label.choice, label.strength) == (letter, 2)
    assert label.rationale == "1 b: it says more, with less." and label.metadata["reasons"] == ["better written"]
    assert label.criteria == {"craft": letter, "originality": "tie"}
    assert label.seconds >= 0.3 and label.order_shown == ("ba" if letter == "a" else "ab")


def select(page, pane, start, end):
    """Select characters of a response, as dragging would."""
    page.evaluate(
        """([pane, start, end]) => {
            const texts = document.createTreeWalker(document.querySelectorAll(".response-text")[pane], 4);
            const range = document.createRange();
            for (let at = 0; texts.nextNode(); at += texts.currentNode.length) {
                const inside = (there) => there >= at && there <= at + texts.currentNode.length;
                if (inside(start)) range.setStart(texts.currentNode, start - at);
                if (inside(end)) range.setEnd(texts.currentNode, end - at);
            }
            getSelection().removeAllRanges();
            getSelection().addRange(range);
        }""",
        [pane, start, end],
    )


def test_marks_have_the_right_places_across_emphasis_and_emoji(visit):
    visitor = visit("compare")
    page = visitor.page
    pane = 0 if visitor.shown(1).startswith("It ") else 1
    text = visitor.shown(pane + 1)
    # "It rained on 4. Then 🌧️ it stopped. Nobody noticed."; the emoji is two units long in the browser.
    start = len(text[: text.index("it stopped")].encode("utf-16-le")) // 2
    select(page, pane, start, start + len("it stopped. "))
    bar = page.get_by_role("group", name="Mark this passage")
    bar.get_by_label("Note on the passage").fill("flat")
    bar.get_by_role("button", name="Bad").click()
    select(page, pane, 1, 9)
    bar.get_by_role("button", name="Good").click()
    select(page, pane, 0, 4)
    bar.get_by_role("button", name="Good").click()
    page.get_by_role("button", name="Remove the mark on “It r”").click()
    assert page.evaluate("[...CSS.highlights.keys()].sort()") == ["mark-bad", "mark-good"]
    visitor.press("4")
    visitor.send("Item 2")
    (label,) = visitor.site.labels(visitor.name)
    bad, good = label.spans
    assert (bad["quote"], bad["sign"], bad["note"]) == ("it stopped.", "bad", "flat")
    assert text[bad["start"] : bad["end"]] == "it stopped."
    assert (good["quote"], good["start"], good["end"]) == ("t rained", 1, 9)
    assert page.evaluate("CSS.highlights.size") == 0


def test_marks_with_the_keyboard(visit):
    visitor = visit("compare")
    page = visitor.page
    pane = 0 if visitor.shown(1).startswith("It ") else 1
    text = visitor.shown(pane + 1)
    page.locator(".response-text").nth(pane).focus()
    visitor.press("m", "ArrowRight", "ArrowRight", "Shift+ArrowLeft", "ArrowLeft", "Shift+ArrowRight")
    page.get_by_role("button", name="Good").focus()
    visitor.press("Enter")
    assert page.evaluate("document.activeElement.className").startswith("pane response-text")
    visitor.press("m", "Escape", "4")
    visitor.send("Item 2")
    (label,) = visitor.site.labels(visitor.name)
    (span,) = label.spans
    assert span["quote"] == text[text.index("Then") :] and text[span["start"] : span["end"]] == span["quote"]


def test_an_edit_is_preferred_over_its_original(visit):
    visitor = visit("compare")
    page = visitor.page
    page.get_by_role("button", name="Edit Response 1").click()
    box = page.get_by_label("A better Response 1")
    original = box.input_value()
    assert "*" in original or "- one" in original
    box.fill(f"{original} Better.")
    page.get_by_role("button", name="Edit Response 2").click()
    page.get_by_label("A better Response 2").fill("unwanted")
    page.get_by_role("button", name="Discard the edit").nth(1).click()
    visitor.press("4")
    page.locator(".screen-heading").focus()
    visitor.send("Item 2")
    labels = visitor.site.labels(visitor.name)
    (edit,) = [label for label in labels if "edited" in label.metadata]
    texts = visitor.site.texts(edit.comparison_id)
    assert texts.pop(edit.choice) == f"{original} Better." and list(texts.values()) == [original]
    assert len(labels) == 2


def test_an_earlier_answer_is_changed_and_the_work_goes_on(visit):
    visitor = visit("compare")
    page = visitor.page
    first = visitor.shown(1)
    visitor.press("1")
    visitor.send("Item 2")
    visitor.press("4")
    visitor.send("Item 3")
    third = visitor.shown(1)
    visitor.press("u")
    dialog = page.get_by_role("dialog", name="Latest answers")
    dialog.wait_for()
    assert dialog.locator("li").count() == 2
    assert "equally good" in dialog.locator("li").nth(0).inner_text()
    assert "Response 1 much better" in dialog.locator("li").nth(1).inner_text()
    dialog.get_by_role("button", name="Change").nth(1).click()
    visitor.heading("Change an earlier answer")
    assert visitor.shown(1) == first
    assert page.get_by_role("radio", name="Response 1 much better").get_attribute("aria-checked") == "true"
    visitor.press("6")
    page.get_by_role("button", name="Save the change").click()
    visitor.heading("Item 3")
    assert visitor.shown(1) == third
    latest = visitor.site.labels(visitor.name)
    assert len(latest) == 2 and len(visitor.site.labels(visitor.name, superseded=True)) == 3
    (changed,) = [label for label in latest if label.supersedes]
    texts = visitor.site.texts(changed.comparison_id)
    assert changed.strength == 2 and texts[changed.choice][:3] != first[:3]
    visitor.press("u")
    dialog.get_by_role("button", name="Change").nth(0).click()
    visitor.heading("Change an earlier answer")
    visitor.press("1")
    page.get_by_role("button", name="Cancel").click()
    visitor.heading("Item 3")
    assert len(visitor.site.labels(visitor.name, superseded=True)) == 3
