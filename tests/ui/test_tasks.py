"""Rankings and ratings: the other kinds of task of the same page."""

from __future__ import annotations

from itertools import combinations

import pytest


def placed(page):
    return [row.inner_text().split("\n")[:2] for row in page.locator(".ladder li").all()]


def test_a_ranking_with_ties_by_keyboard(visit):
    visitor = visit("ranking")
    page = visitor.page
    colours = [visitor.shown(place) for place in (1, 2, 3, 4)]
    assert not placed(page)
    visitor.press("3", "Enter")
    assert visitor.said() == "Place 3 more responses."
    visitor.press("1", "4", "2")
    assert placed(page) == [["1", "Response 3"], ["2", "Response 1"], ["3", "Response 4"], ["4", "Response 2"]]
    # Response 2 goes up by two, and response 4 is tied with what stands above it then: response 1.
    visitor.press("ArrowUp", "ArrowUp", "4", "=")
    assert placed(page) == [["1", "Response 3"], ["2", "Response 2"], ["3", "Response 1"], ["3", "Response 4"]]
    visitor.send("Item 2")
    ranks = dict(zip(colours, (3, 2, 1, 3), strict=True))
    labels = visitor.site.labels(visitor.name)
    assert len(labels) == 6 and len({label.metadata["group"] for label in labels}) == 1
    expected = set()
    for one, other in combinations(colours, 2):
        better = None if ranks[one] == ranks[other] else min(one, other, key=ranks.__getitem__)
        expected.add((frozenset((one, other)), better))
    found = set()
    for label in labels:
        texts = visitor.site.texts(label.comparison_id)
        found.add((frozenset(texts.values()), texts.get(label.choice)))
    assert found == expected


def test_a_ranking_by_mouse_and_one_that_cannot_be_judged(visit):
    visitor = visit("ranking")
    page = visitor.page
    for place in (2, 1, 3, 4):
        page.get_by_role("button", name=f"Response {place}", exact=True).click()
    page.get_by_role("button", name="Move down: Response 2").click()
    page.get_by_role("button", name="Take out: Response 4").click()
    assert visitor.page.locator(".hint").inner_text() == "Place 1 more response."
    page.get_by_role("button", name="Response 4", exact=True).click()
    page.get_by_role("button", name="= above, tied: Response 4").click()
    assert placed(page) == [["1", "Response 1"], ["2", "Response 2"], ["3", "Response 3"], ["3", "Response 4"]]
    page.get_by_role("button", name="Submit").click()
    visitor.heading("Item 2")
    visitor.press("c")
    assert visitor.said() == "cannot judge"
    visitor.send("Thank you")
    assert [label.status for label in visitor.site.labels(visitor.name)] == ["ok"] * 6 + ["abstained"] * 6
    visitor.press("u")
    rows = page.get_by_role("dialog").locator("li")
    rows.first.wait_for()
    assert [row.locator(".muted").inner_text() for row in rows.all()] == ["cannot judge", "1 > 2 > 3 = 4"]


class Finger:
    """Touches the page as a finger does: the browser decides whether it scrolls."""

    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)
        self.session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(self, kind, *points):
        touched = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    def drag(self, start, end, steps=8):
        self.touch("touchStart", start)
        for step in range(1, steps + 1):
            self.touch("touchMove", tuple(a + (b - a) * step / steps for a, b in zip(start, end, strict=True)))

    def lift(self):
        self.touch("touchEnd")


def middle(page, selector):
    """Return the middle of what is in sight."""
    found = page.locator(selector)
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def rows(page):
    return [row.get_attribute("data-place") for row in page.locator(".ladder [data-place]").all()]


def above(page, place):
    """Return a point at the upper edge of a row."""
    box = page.locator(f".ladder [data-place='{place}']").bounding_box()
    return box["x"] + 200, box["y"] + 2


def landing(page, place):
    """Tell how far the line that shows where something lands is from the upper edge of a row, in pixels."""
    line = page.locator(".ladder .landing").bounding_box()
    return line["y"] - page.locator(f".ladder [data-place='{place}']").bounding_box()["y"]


@pytest.mark.parametrize("width", [1280, 390])
def test_rows_are_dragged_with_a_mouse(visit, width):
    visitor = visit("ranking")
    page, mouse = visitor.page, visitor.page.mouse
    visitor.look(width, "light")
    visitor.press("1", "2", "3", "4", "=")
    assert placed(page) == [["1", "Response 1"], ["2", "Response 2"], ["3", "Response 3"], ["3", "Response 4"]]
    mouse.move(*middle(page, ".ladder [data-place='3'] .who"))
    mouse.down()
    mouse.move(*above(page, 1), steps=5)
    assert abs(landing(page, 1)) < 6 and rows(page) == ["1", "2", "3", "4"]
    mouse.up()
    # The tie belongs to the last two steps of the ladder, as it does with keys.
    assert placed(page) == [["1", "Response 3"], ["2", "Response 1"], ["3", "Response 2"], ["3", "Response 4"]]
    assert page.locator(".landing, .dragged").count() == 0
    assert visitor.said() == "Response 3: rank 1"
    assert page.evaluate("document.activeElement.dataset.place") == "3"
    # Escape leaves all as it was, also when the button is let go after it.
    mouse.move(*middle(page, ".ladder [data-place='4'] .grip"))
    mouse.down()
    mouse.move(*above(page, 3), steps=5)
    visitor.press("Escape")
    assert page.locator(".landing, .dragged").count() == 0 and visitor.said() == "Response 4 stays where it was"
    mouse.up()
    assert rows(page) == ["3", "1", "2", "4"]
    # A click on a button of a row is a click, and keys work on.
    page.get_by_role("button", name="Move down: Response 3").click()
    visitor.press("ArrowDown")
    assert rows(page) == ["1", "2", "3", "4"]
    visitor.send("Item 2")
    assert not visitor.errors


def test_a_response_is_dragged_in_from_above(visit):
    visitor = visit("ranking")
    page, mouse = visitor.page, visitor.page.mouse
    visitor.press("1", "2", "=")

    def from_pool(place):
        mouse.move(*middle(page, f".pool button:has-text('Response {place}')"))
        mouse.down()

    from_pool(3)
    mouse.move(*above(page, 2), steps=5)
    assert abs(landing(page, 2)) < 6
    mouse.up()
    # Between two that are tied it is tied with both.
    assert placed(page) == [["1", "Response 1"], ["1", "Response 3"], ["1", "Response 2"]]
    from_pool(4)
    x, y = middle(page, "h3:has-text('Your ranking')")
    mouse.move(x, y, steps=5)
    assert page.locator(".landing").count() == 0
    mouse.up()
    assert len(rows(page)) == 3
    page.get_by_role("button", name="Response 4", exact=True).click()
    assert placed(page)[-1] == ["2", "Response 4"]
    assert not visitor.errors


def test_a_finger_drags_by_the_handle_and_scrolls_elsewhere(visit, axe):
    visitor = visit("ranking", apart=True)
    page = visitor.page
    visitor.look(390, "light")
    finger = Finger(page)
    visitor.press("1", "2", "3", "4")
    x, y = middle(page, ".ladder [data-place='1'] .grip")
    scrolled = page.evaluate("scrollY")
    finger.drag((x, y), (x, above(page, 4)[1] + 40))
    assert page.locator(".dragged").count() == 1 and page.locator(".landing").count() == 1
    assert not axe(page)
    finger.lift()
    assert rows(page) == ["2", "3", "4", "1"]
    # The same on the row itself moves the page, and no row.
    page.evaluate("scrollTo(0, 0)")
    x, y = middle(page, ".ladder [data-place='2'] .who")
    scrolled = page.evaluate("scrollY")
    finger.drag((x, y), (x, y - 150))
    finger.lift()
    page.wait_for_function(f"scrollY !== {scrolled} || scrollY + innerHeight >= document.documentElement.scrollHeight")
    assert rows(page) == ["2", "3", "4", "1"] and page.locator(".landing, .dragged").count() == 0
    assert not visitor.errors


def test_ratings_with_anchors(visit):
    visitor = visit("rating")
    page = visitor.page
    colour = visitor.shown(1)
    craft = page.get_by_role("radiogroup", name="craft")
    assert "exact and economical" in page.locator(".criterion", has_text="craft").locator(".anchors").inner_text()
    visitor.press("5", "Enter")
    assert visitor.said() == "3 criteria to go."
    # The focus has gone on to the next criterion.
    visitor.press("c", "2")
    page.get_by_role("radiogroup", name="engagement").get_by_role("radio", name="4", exact=True).click()
    craft.get_by_role("radio", name="1: vague").click()
    visitor.send("Item 2")
    mine = visitor.site.person(visitor.name).annotator_id
    ratings = [each for each in visitor.site.store.records("ratings") if each.annotator_id == mine]
    texts = {response.id: response.text for response in visitor.site.store.responses()}
    assert {texts[each.response_id] for each in ratings} == {colour}
    values = {each.criterion: (each.status, each.value) for each in ratings}
    assert values == {
        "originality": ("ok", 5.0),
        "craft": ("ok", 1.0),
        "coherence": ("ok", 2.0),
        "engagement": ("ok", 4.0),
    }
