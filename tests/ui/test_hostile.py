"""Texts of strangers in a real browser: nothing of them acts, and all of them is shown and kept."""

from __future__ import annotations

import re

SHOWN = """panes => panes.map(pane => {
    const copy = pane.cloneNode(true);
    copy.querySelectorAll('.sign').forEach(sign => sign.remove());
    return copy.textContent;
})"""
LONGEST_RATIONALE = 20_000


def letters(text):
    return "".join(re.findall(r"[^\W\d_]", text))


def test_hostile_texts_do_nothing_and_are_shown_everywhere(visit, hostile):
    visitor = visit("hostile")
    page, site = visitor.page, visitor.site
    by_letters = {letters(text): text for text in hostile}
    seen, written = [], []
    while (title := visitor.heading()) != "Thank you":
        prompt = page.locator(".prompt .pane").evaluate_all(SHOWN)
        responses = page.locator(".response-text").evaluate_all(SHOWN)
        assert sorted(map(letters, prompt)) == sorted(map(letters, responses))
        assert set(map(letters, prompt)) <= by_letters.keys()
        page.locator(".edit-open").evaluate_all("buttons => buttons.forEach(button => button.click())")
        boxes = page.locator(".editor textarea").evaluate_all("boxes => boxes.map(box => box.value)")
        assert list(map(letters, boxes)) == list(map(letters, responses)) and set(boxes) <= set(hostile)
        seen += boxes
        rationale = boxes[0][:LONGEST_RATIONALE]
        written.append(rationale)
        box = page.locator("#rationale")
        box.evaluate("(box, text) => { box.value = text; box.dispatchEvent(new Event('input')); }", rationale)
        page.locator(".screen-heading").focus()
        visitor.press("4")
        visitor.ready()
        visitor.press("Enter")
        page.wait_for_function("was => document.querySelector('.screen-heading').textContent !== was", arg=title)
    assert sorted(seen) == sorted(hostile)
    labels = site.labels(visitor.name)
    assert [label.rationale for label in labels] == written and len(labels) == len(hostile) // 2
    visitor.press("u")
    page.get_by_role("dialog").get_by_role("button", name="Change").first.click()
    visitor.heading("Change an earlier answer")
    assert page.locator("#rationale").input_value() == written[-1]
    assert page.locator("h1").inner_text() == site.study.config.title
    assert page.locator(".chip").first.inner_text() == site.study.config.reasons[0]
    assert urls_of(page) == {f"{site.base}/work/"}
    assert not visitor.foreign() and not visitor.errors


def urls_of(page):
    return {each.url for each in page.context.pages}
