"""Rankings and ratings: the other kinds of task of the same page."""

from __future__ import annotations

from itertools import combinations


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
