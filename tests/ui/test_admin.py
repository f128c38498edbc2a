"""The researchers' page in a real browser: numbers that match the store, and every deed that leaves its trace there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from labeling_ui.answered import AnswerReader
from labeling_ui.answers import ComparisonAnswer
from labeling_ui.desk import Desk
from labeling_ui.overview import main_agreement
from labeling_ui.people import People
from labeling_ui.progress import progress_of
from labeling_ui.settings import read_settings
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.labelling_tables import events, items
from rewardkit.store.store import Store
from rewardkit.types import Annotator

NAME = "watched"
SETTINGS = {"least_seconds": 0.0, "assignment": {"overlap": 3, "most_overlap": 3, "repeats": 0.0}}
TABS = ("Progress", "Annotators", "Data", "Disagreements", "Judges", "Settings", "Audit trail", "Export")
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
HOSTILE = "<img src=x onerror=window.acted=1> <b>bold</b> {{ 1 + 1 }} ${window.acted=1}"
CSV = f'prompt,response_a,response_b,preference\n"Why, {HOSTILE}?",yes,no,a\nAnd why not?,yes,no,\nSame?,same,same,a\n'


@pytest.fixture(scope="module")
def watched(tmp_path_factory, secret, fill, site_of):
    """A study of ten comparisons that three people have labelled, disagreeing on some; served."""
    folder = tmp_path_factory.mktemp("watched")
    config = LabelConfig.model_validate(SETTINGS)
    study = Study.of(config, NAME)
    (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    with Store.open(folder / "s.db") as store:
        fill(store, study, 10)
        label(store, study)
        script = Path(__file__).with_name("serve_studies.py")
        words = [sys.executable, script, secret, f"{NAME}={folder / 'config.json'}={folder / 's.db'}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = process.stdout.readline().strip()
                assert port, "the server did not start"
                yield site_of(f"http://127.0.0.1:{port}", store, study)
            finally:
                process.kill()


def label(store, study):
    """Let three people label everything, agreeing on every item whose number is even."""
    desk, people = Desk(store, study), People(store, study.name)
    for at, name in enumerate(("ann", "ben", HOSTILE)):
        person = people.join("invitation", name, Annotator.of("human", f"{study.name}-{name[:30]}"))
        people.keep(person, "consented", lambda _: {"consent": study.version})
        while lease := desk.next(person):
            first = (int(lease.item_id, 16) % 2 == 0 or at == 0) == (lease.shown[0] == 0)
            choice = "first" if first else "second"
            desk.submit(lease.id, person, ComparisonAnswer(choice=choice, strength=2, rationale=HOSTILE))


@pytest.fixture
def page(window, watched, heard):
    """A researcher who has come in by a link; nothing may act, be blocked or come from elsewhere."""
    window.clear_cookies()
    opened, ear = window.new_page(), heard(watched.base)
    ear.listen(opened)
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.emulate_media(color_scheme="light", reduced_motion="reduce")
    opened.goto(f"{watched.base}/researcher/{watched.sessions.login('rae')}")
    opened.locator(".admin .tiles").wait_for()
    yield opened
    assert opened.evaluate("window.acted") is None
    ear.check()
    opened.close()


@pytest.fixture(scope="module")
def axe():
    """Find violations that hinder people, in Gradio's own markup too: `axe(page)`."""
    core = pytest.importorskip("axe_playwright_python.base", reason="needs axe-core: pip install 'rewardkit[dev]'")
    script = core.AXE_FILE_PATH.read_text(encoding="utf-8")

    def violations(page):
        if not page.evaluate("'axe' in window"):
            page.evaluate(script)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in serious]

    return violations


def go(page, name):
    """Open a tab; those that do not fit stand in a menu."""
    tab = page.get_by_role("tab", name=name)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).click()


def choose(page, where, text):
    """Choose what begins with a text from a list."""
    page.locator(f"{where} input").click()
    page.get_by_role("option").filter(has_text=text).first.click()


def noted(site, kind):
    with site.store.reading() as connection:
        query = sa.select(events.c.details).where(events.c.kind == kind, events.c.study == NAME)
        return connection.execute(query.order_by(events.c.number)).scalars().all()


def test_the_numbers_are_those_of_the_store(page, watched):
    progress = progress_of(watched.store, NAME)
    found = main_agreement(AnswerReader(watched.store, NAME).read())
    tiles = page.locator(".admin .tile .big")
    assert tiles.nth(0).inner_text().split() == [str(progress.done), "of", str(progress.wanted)]
    assert tiles.nth(1).inner_text() == "done"
    assert tiles.nth(2).inner_text() == f"{found.alpha:.2f}"
    interval = f"{found.interval[0]:.2f} to {found.interval[1]:.2f}".replace("-", "−")
    assert interval in page.locator(".admin .tile").nth(2).inner_text()
    assert page.locator(".admin svg .work").count() >= 1 and page.locator(".admin svg circle.dot").count() >= 2
    page.get_by_text("The numbers").first.click()
    in_table = page.locator(".admin details table").first.locator("tbody td:nth-child(2)").all_inner_texts()
    assert sum(map(int, in_table)) == 30
    go(page, "Annotators")
    page.locator(".people tbody tr").nth(2).wait_for()
    rows = page.locator(".people tbody tr").all_inner_texts()
    # The researcher who looks has labelled nothing, and is none of them.
    assert len(rows) == 3 and all("10 of work" in row for row in rows)


def test_somebody_is_paused_and_goes_on(page, watched):
    go(page, "Annotators")
    choose(page, "#who", f"{NAME}-ann")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("A pause needs a reason").wait_for()
    assert watched.person("ann").state == "active"
    page.get_by_label("Why").locator("visible=true").fill("answers at random")
    page.get_by_role("button", name="Pause").click()
    page.locator(".people tr", has_text=f"{NAME}-ann").locator(".state.paused").wait_for()
    assert watched.person("ann").state == "paused"
    people = People(watched.store, NAME)
    assert noted(watched, "paused") == [{"why": "answers at random", "by": people.find("researcher", "rae").id}]
    choose(page, "#who", f"{NAME}-ann")
    page.get_by_role("button", name="Resume").click()
    page.locator(".people tr", has_text=f"{NAME}-ann").locator(".state.active").wait_for()
    assert watched.person("ann").state == "active"


def test_people_are_let_in(page, watched, browser):
    go(page, "Annotators")
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Make links").click()
    page.get_by_text("2 new links").wait_for()
    links = page.locator("#links textarea").input_value().split()
    assert len(set(links)) == 2 and all(link.startswith(f"{watched.base}/join/") for link in links)
    context = browser.new_context()
    assert context.request.get(links[0], max_redirects=0).headers["location"] == "/work/"
    context.close()
    page.get_by_label("Name", exact=True).locator("visible=true").fill("kim")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("They can log in at /login now").wait_for()
    page.locator(".people tbody tr", has_text="kim").wait_for()
    assert People(watched.store, NAME).find("password", "kim").role == "annotator"


SPOKEN = """() => {
    window.spoken = [];
    new MutationObserver(() => document.querySelectorAll(".sr-only[role=status]").forEach(
        (each) => each.textContent && window.spoken.push(each.textContent)
    )).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_what_screen_readers_say_of_an_event_is_words(page, watched, tmp_path):
    file = tmp_path / "questions.csv"
    file.write_text(CSV, encoding="utf-8")
    go(page, "Data")
    page.evaluate(SPOKEN)
    page.set_input_files("#upload input[type=file]", file)
    page.locator("#look").get_by_text("1 row rejected").wait_for()
    page.wait_for_function("window.spoken.includes('Done')")
    # Names of Gradio's own dictionary that it does not hold would be read out as they are.
    assert not any("." in each for each in page.evaluate("window.spoken"))


def test_a_file_is_looked_at_and_taken_in(page, watched, tmp_path):
    file = tmp_path / "more questions.csv"
    file.write_text(CSV, encoding="utf-8")
    before = watched.store.counts()["comparisons"]
    go(page, "Data")
    page.set_input_files("#upload input[type=file]", file)
    look = page.locator("#look")
    look.get_by_text("1 row rejected").wait_for()
    assert HOSTILE in look.locator("td").first.inner_text() and look.locator("td b, td img").count() == 0
    assert watched.store.counts()["comparisons"] == before
    with page.expect_download() as download:
        look.get_by_role("link", name="Download them").click()
    assert "identical" in Path(download.value.path()).read_text()
    page.get_by_label("Priority").fill("-5")
    page.get_by_role("button", name="Import and add").click()
    look.get_by_text("2 new items to be labelled").wait_for()
    assert watched.store.counts()["comparisons"] == before + 2
    with watched.store.reading() as connection:
        added = connection.execute(sa.select(items).where(items.c.priority == -5)).all()
    assert [(row.study, row.role, row.slots) for row in added] == [(NAME, "work", 3)] * 2
    assert noted(watched, "imported")[0]["source"] == "more questions"


def test_a_disagreement_is_decided(page, watched):
    go(page, "Disagreements")
    page.get_by_text("to decide, the most disputed first").wait_for()
    left = int(page.locator("#dispute .key").inner_text().split()[0])
    page.get_by_text("What the annotators said").click()
    assert HOSTILE in page.locator("#dispute tbody").inner_text().replace("\n", " ")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("No decision is chosen").wait_for()
    page.get_by_label("Response 2 is slightly better").check()
    page.get_by_label("Why").locator("visible=true").fill("It says more with less.")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("Kept as a label of yours").wait_for()
    remaining = page.locator("#dispute").inner_text()
    assert remaining.startswith(f"{left - 1} to decide" if left > 1 else "There is nothing to decide")
    # What there is nothing to decide with cannot be pressed.
    assert page.get_by_role("button", name="Decide").is_visible() == (left > 1)
    (label,) = [each for each in watched.store.labels() if each.metadata.get("adjudicates")]
    assert (label.choice, label.strength, label.rationale) == ("b", 1, "It says more with less.")
    assert watched.store.annotators()[label.annotator_id].rater_group == "adjudicator"


def test_settings_hold_at_once(page, watched, browser):
    go(page, "Settings")
    guidelines = page.locator("#guidelines textarea")
    page.wait_for_function("document.querySelector('#guidelines textarea').value.length > 50")
    guidelines.fill("Read **twice**.")
    # What is typed is shown before it is saved.
    page.locator(".preview strong", has_text="twice").wait_for()
    page.get_by_text("not saved yet").wait_for()
    page.get_by_label("At most, where annotators disagree").fill("2")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("cannot want 3 labels").wait_for()
    assert read_settings(watched.store, NAME).guidelines is None
    page.get_by_label("At most, where annotators disagree").fill("4")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("read the guidelines again").wait_for()
    assert page.locator(".preview strong").inner_text() == "twice"
    settings = read_settings(watched.store, NAME)
    assert (settings.guidelines, settings.most_overlap) == ("Read **twice**.", 4)
    context = browser.new_context()
    context.request.get(f"{watched.base}/join/{watched.sessions.invitation('dee')}", max_redirects=0)
    turn = context.request.get(f"{watched.base}/api/turn").json()
    assert turn["step"] == "consent" and "<strong>twice</strong>" in turn["guidelines"]
    context.close()


def test_the_trail_tells_who_did_what_and_everything_can_be_taken(page, watched, tmp_path):
    go(page, "Audit trail")
    page.locator("#trail tbody tr").first.wait_for()
    assert "of" in page.locator("#trail .key").inner_text() and page.locator("#trail b b, #trail img").count() == 0
    page.get_by_label("What", exact=True).click()
    page.get_by_role("option", name="joined").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#trail tbody tr td:nth-child(3)')].every(e => e.innerText == 'joined')"
    )
    go(page, "Export")
    for name, begins in (
        ("All records", b'{"kind"'),
        ("Labels as a table", b"PAR1"),
        ("Preferences for training", b"{"),
    ):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert Path(download.value.path()).read_bytes().startswith(begins)
    choose(page, "#whose", f"{NAME}-ben")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all that is kept of them").click()
    assert '"external_id":"ben"' in Path(download.value.path()).read_text()
    assert len(noted(watched, "exported")) == 4
    page.get_by_role("button", name="Erase").click()
    page.get_by_text("This cannot be undone", exact=True).wait_for()
    page.get_by_role("checkbox").locator("visible=true").check()
    page.get_by_role("button", name="Erase").click()
    page.get_by_text("Erased. Their labels stay").wait_for()
    assert watched.person("ben") is None and len(noted(watched, "erased")) == 1


def test_on_a_phone_a_row_is_a_card(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for name, rows in (("Annotators", ".people tbody tr"), ("Audit trail", "#trail tbody tr")):
        go(page, name)
        row = page.locator(rows).first
        row.wait_for()
        # Nothing stands beside the screen, where one would have to scroll for it.
        ends = row.locator("td:visible, th:visible").evaluate_all(
            "cells => cells.map((cell) => cell.getBoundingClientRect().right)"
        )
        assert len(ends) >= 3 and max(ends) <= 390


def test_nobody_is_hindered(page, axe):
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.reload()
        page.locator(".admin .tiles").wait_for()
        for name in TABS:
            go(page, name)
            page.wait_for_timeout(700)
            assert axe(page) == [], f"{name} at {width}, {scheme}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"


def test_whoever_is_no_researcher_sees_none_of_it(watched, browser):
    context = browser.new_context()
    context.request.get(f"{watched.base}/join/{watched.sessions.invitation('eve')}", max_redirects=0)
    for path in ("/admin/", "/admin/config", "/admin/gradio_api/info", "/admin/files/export/records.jsonl"):
        assert context.request.get(watched.base + path).status == 403
    assert context.request.post(f"{watched.base}/admin/gradio_api/queue/join", data={"fn_index": 0}).status == 403
    context.close()
