"""The tab Judges in a real browser: all of them measured in another process, one watched while it writes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import sqlalchemy as sa

from rewardkit.store.labelling_tables import events
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

TALKING = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))
model, served, HOSTILE = (TALKING[name] for name in ("model", "served", "HOSTILE"))
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
JUDGE = "wise/critique.v1/joke"
ALOUD = ["<think>Which of ", "them sings?</think>A is vivid, and has *rhythm*.\n", None, f"B is flat: {HOSTILE}\n"]
SCRIPT = {"Write a short": ALOUD, "Which response is better?": ["A"], "Rate both": ["A: 3, B: 4"]}


@pytest.fixture(scope="module")
def site(model, tmp_path_factory, secret, site_of, hostile):
    """A study with a judge in its labels and another one behind a URL, whose texts are hostile."""
    folder = tmp_path_factory.mktemp("judges")
    with Store.open(folder / "rewardkit.db") as store:
        fill(store, hostile)
    judge = {"backend": "openai", "model": "wise", "rubric": "joke", "server": {"url": model.url}}
    judge["server"]["key_variable"] = "MODEL_KEY"
    sections = {"judge": judge, "audit": {"resamples": 100}}
    with served(folder, secret=secret, sections=sections) as (live, _):
        yield site_of(live.base, live.store, live.study)


def fill(store, hostile):
    """Add comparisons with what three people and a judge said; the names and words of strangers are hostile."""
    who = [Annotator.of("human", name) for name in ("ann", "ben", HOSTILE)] + [Annotator.of("judge", f"old {HOSTILE}")]
    store.add(who)
    for number in range(20):
        texts = hostile[2 * number : 2 * number + 2]
        prompt = Prompt.of((Message(role="user", content=f"{number} {texts[0]}"),))
        found = [Response.of(prompt.id, text) for text in texts]
        pair = Comparison.of(prompt.id, *(each.id for each in found))
        said = {"rationale": HOSTILE, "order_shown": "ab"}
        labels = [
            Label.of(pair.id, each.id, choice="ab"[(number + at) % 7 == 0], **said) for at, each in enumerate(who)
        ]
        labels.append(Label.of(pair.id, who[-1].id, choice="a", order_shown="ba"))
        store.add([prompt, *found, pair, *labels])


@pytest.fixture
def opened(window, site, heard):
    """Let a researcher come in and open the tab; nothing may act, be blocked or come from elsewhere."""
    ear, pages = heard(site.base), []

    def come(name="rae", context=None):
        context = context or window
        context.clear_cookies()
        page = context.new_page()
        ear.listen(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.goto(f"{site.base}/researcher/{site.sessions.login(name)}")
        go(page)
        pages.append(page)
        return page

    yield come
    for page in pages:
        if not page.is_closed():
            assert page.title() not in "12"
            page.close()
    ear.check()


@pytest.fixture
def script(model):
    """What the model says; it waits in the middle until it may go on."""
    model.go.clear()
    model.asked.clear()
    while model.left.acquire(blocking=False):
        pass
    model.script = dict(SCRIPT)
    yield model.script
    model.go.set()
    model.script = {}


def go(page):
    page.locator(".admin .tiles").wait_for()
    tab = page.get_by_role("tab", name="Judges")
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text="Judges").click()
    page.get_by_role("button", name="Measure the judges").wait_for()
    # Nobody is as quick as a test: an event that begins just when another one ends may be lost in Gradio's stream.
    page.wait_for_timeout(500)


def watch(page, until="rhythm"):
    """Let the judge begin, and wait for its words."""
    page.get_by_role("button", name="Watch it work").click()
    page.locator("#words", has_text=until).wait_for()


def kept_by(site, name=JUDGE):
    judges = [each.id for each in site.store.annotators().values() if each.name == name]
    return [label for label in site.store.labels() if label.annotator_id in judges]


def noted(site, kind):
    with site.store.reading() as connection:
        query = sa.select(events.c.details).where(events.c.kind == kind).order_by(events.c.number)
        return connection.execute(query).scalars().all()


def test_the_judges_are_measured_and_the_page_is_taken(opened, site):
    page = opened()
    page.get_by_text("have not been measured yet").wait_for()
    page.get_by_role("button", name="Measure the judges").focus()
    page.keyboard.press("Enter")
    page.get_by_role("progressbar").wait_for()
    page.get_by_text("The judges are measured.").wait_for(timeout=60_000)
    (row,) = page.locator("#judges tbody tr").all()
    assert HOSTILE in row.locator("th").inner_text() and "n = 20" in row.inner_text().replace("\xa0", " ")
    assert page.locator("#judges .judge p").first.inner_text().startswith("It sides with the majority of people on")
    assert page.locator("#judges b, #judges img, #judges script").count() == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the whole audit").click()
    whole = Path(download.value.path()).read_text(encoding="utf-8")
    assert whole.startswith("<!doctype html>") and "Sides with the majority" in whole
    assert download.value.suggested_filename == "talk-judges.html"
    assert noted(site, "judges measured") and noted(site, "exported")[-1]["name"] == "audit of the judges"
    # It stays for whoever comes next.
    assert opened("kim").locator("#judges tbody tr").inner_text() == row.inner_text()


def test_its_words_come_as_they_are_written_and_are_kept_only_by_hand(opened, site, script, model):
    page = opened()
    watch(page)
    words = page.locator("#words")
    assert words.locator(".thought").inner_text().split() == ["Thinks", "Which", "of", "them", "sings?"]
    assert words.locator("em").inner_text() == "rhythm" and "At work" in words.inner_text()
    assert page.locator("#words section[aria-busy=true]").count() == 1
    assert page.get_by_role("button", name="Keep these labels").is_disabled()
    # What the judge calls A is what stands first.
    assert "The judge calls it A." in page.locator("#watched .response").first.inner_text()
    model.go.set()
    page.get_by_text("The judge is through.").wait_for()
    assert words.locator(".verdict").inner_text() == "Its verdict: Response 1."
    assert HOSTILE.replace("**", "") in words.inner_text() and words.locator("img, script").count() == 0
    assert "Rate" not in words.inner_text() and "A: 3, B: 4" in words.inner_text()
    page.get_by_text("Who said what").click()
    assert page.locator("#votes tbody tr").count() == 3 and page.locator("#votes img").count() == 0
    assert kept_by(site) == []
    page.locator("button:enabled", has_text="Keep these labels").focus()
    page.keyboard.press("Enter")
    page.locator("#words").get_by_text("Kept: its labels").wait_for()
    (label,) = kept_by(site)
    comparison = page.locator("#watched-prompt code").inner_text()
    assert (label.comparison_id, label.metadata) == (comparison, {"watched": True})
    assert label.choice == ("a" if label.order_shown == "ab" else "b") and "rhythm" in label.rationale
    assert noted(site, "judge kept")[0]["judge"] == JUDGE
    assert page.get_by_role("button", name="Keep these labels").is_disabled()


def test_stop_ends_the_models_work_and_nothing_is_stored(opened, site, script, model):
    before = len(kept_by(site))
    page, asked = opened(), len(model.asked)
    watch(page)
    page.locator("button:enabled", has_text="Stop").focus()
    page.keyboard.press("Enter")
    page.locator("#words").get_by_text("Stopped. Nothing of it is stored.").wait_for()
    assert page.get_by_role("button", name="Stop").is_disabled()
    model.go.set()
    # The server notices that nobody reads any more, and is asked nothing further.
    assert model.left.acquire(timeout=10)
    assert len(model.asked) == asked + 1 and len(kept_by(site)) == before
    # The next one begins anew.
    script["Write a short"] = ["All is well.\n"]
    watch(page, "All is well.")


def test_a_second_researcher_waits_and_a_reload_goes_on(opened, site, script, model, browser):
    page, context = opened(), browser.new_context()
    watch(page)
    other = opened("kim", context)
    other.get_by_role("button", name="Watch it work").click()
    other.get_by_text("Another researcher watches a judge now").wait_for()
    assert other.locator("#words section").count() == 0
    page.reload()
    go(page)
    page.locator("#words", has_text="rhythm").wait_for()
    model.go.set()
    page.get_by_text("The judge is through.").wait_for()
    other.get_by_role("button", name="Watch it work").click()
    other.locator("#words .verdict").wait_for()
    other.close()
    context.close()


def test_a_judge_at_which_nobody_looks_is_stopped(opened, script, model):
    page = opened()
    script["Write a short"] = ["A has rhythm "] + [0.3, "and so on "] * 200
    # Not the words that an earlier watch left: a page that closes before the judge begins stops nothing.
    watch(page, until="and so on")
    page.close()
    # While it would still write for a minute.
    assert model.left.acquire(timeout=45)


def test_what_cannot_be_watched_is_said(opened, site, script, model):
    page = opened()
    page.get_by_role("radio", name="The one with this id").check()
    page.get_by_role("textbox", name="Id of a comparison").fill("nothing of the kind")
    page.get_by_role("button", name="Watch it work").click()
    page.get_by_text("There is no comparison").wait_for()
    script["Write a short"] = ["A is ", 0]
    chosen = next(site.store.comparisons()).comparison.id
    page.get_by_role("textbox", name="Id of a comparison").fill(chosen)
    page.get_by_role("button", name="Watch it work").click()
    page.get_by_text("The judge gave no whole answer.").wait_for()
    assert "{broken" in page.locator("#words").inner_text()
    assert page.locator("#watched-prompt code").inner_text() == chosen
    assert page.get_by_role("button", name="Keep these labels").is_disabled()


def test_hostile_texts_are_shown_and_do_nothing(opened, site, script, model, hostile):
    model.go.set()
    page, shown = opened(), set()
    page.get_by_role("radio", name="The one with this id").check()
    for found in list(site.store.comparisons())[:8]:
        page.get_by_role("textbox", name="Id of a comparison").fill(found.comparison.id)
        page.get_by_role("button", name="Watch it work").click()
        page.locator("#watched-prompt code", has_text=found.comparison.id).wait_for()
        page.get_by_text("The judge is through.").wait_for()
        shown |= set(page.locator("#watched .response").all_inner_texts())
        assert page.locator("#watched, #watched-prompt").locator("img, script, iframe, form, a, svg").count() == 0
    assert len(shown) == 16


def test_nobody_is_hindered(opened, axe, script, model):
    page = opened()
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.reload()
        go(page)
        model.go.clear()
        watch(page)
        for through in (False, True):
            if through:
                model.go.set()
                page.get_by_text("The judge is through.").wait_for()
                page.get_by_text("Who said what").click()
            assert axe(page) == [], f"{width}, {scheme}, {through}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
