"""A real server on loopback, a real store, and a real browser that looks at it."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from labeling_ui.people import People
from labeling_ui.sessions import Sessions
from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

SECRET = "of the browser tests, at least 32 letters"
NUMBERS = count()
# What axe-core is asked for.
OPTIONS = {"resultTypes": ["violations"]}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MANY = {"overlap": 200, "most_overlap": 200, "repeats": 0.0}
"""So that no test takes away what another is to get."""
QUESTIONS = [
    {"text": "May the *longer* response lose?", "options": ["Yes", "No"], "right": 1},
    {"text": "What if both are poor?", "options": ["Pick one anyway", "Say that both are bad"], "right": 2},
]
STUDIES = {
    "compare": {"rubric": "fiction", "least_seconds": 0.3, "assignment": MANY},
    "rated": {"rubric": "fiction", "criteria": "rate", "least_seconds": 0.0, "assignment": MANY},
    "journey": {
        "least_seconds": 0.3,
        "most_items": 2,
        "assignment": MANY,
        "check": {"questions": QUESTIONS},
        "qualification": {"source": "known", "items": 2, "passed": 0.5},
        "prolific": {},
    },
    "ranking": {"task": "ranking", "least_seconds": 0.0, "assignment": MANY},
    "rating": {"task": "rating", "rubric": "fiction", "least_seconds": 0.0, "assignment": MANY},
    "review": {"least_seconds": 0.0, "assignment": MANY, "review": {"judge": "wise", "share": 1.0}},
    "hostile": {
        "title": "<img src=x onerror=alert(1)> {{ 7*7 }} ${7*7}",
        "reasons": ["<b onclick=alert(1)>bold</b> ${1}", "{{ 1 }}"],
        "least_seconds": 0.0,
        "assignment": MANY,
    },
}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """One study that is served."""

    base: str
    store: Store
    study: Study
    sessions: Sessions = field(init=False)

    def __post_init__(self):
        self.sessions = Sessions(SECRET, self.study.name)

    def person(self, name):
        return People(self.store, self.study.name).find("invitation", name)

    def labels(self, name, **how):
        """Return what somebody said, the oldest first, with what was preferred as a text."""
        mine = [each for each in self.store.labels(**how) if each.annotator_id == self.person(name).annotator_id]
        return sorted(mine, key=lambda label: label.created_at)

    def texts(self, comparison_id):
        """Return the responses of a comparison, by their letter in its frame."""
        found = next(each for each in self.store.comparisons() if each.comparison.id == comparison_id)
        texts = {response.id: response.text for response in self.store.responses()}
        return {"a": texts[found.comparison.response_a], "b": texts[found.comparison.response_b]}


@dataclass
class Visitor:
    """Somebody with a browser."""

    site: Site
    name: str
    page: object
    errors: list = field(default_factory=list)
    requests: list = field(default_factory=list)

    def look(self, width, scheme):
        """Change the width of the window, in pixels, and the scheme of colours."""
        self.page.set_viewport_size({"width": width, "height": 900 if width > 500 else 844})
        self.page.emulate_media(color_scheme=scheme)

    def watch(self):
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}") or dialog.dismiss())
        self.page.on("request", lambda request: self.requests.append(request.url))

    def enter(self, *, agreed=True):
        invitation = self.site.sessions.invitation(self.name)
        if agreed:
            api = self.page.context.request
            api.get(f"{self.site.base}/join/{invitation}", max_redirects=0)
            token = api.get(f"{self.site.base}/api/me").json()["csrf"]
            agreement = {"version": self.site.study.version}
            assert api.post(f"{self.site.base}/api/consent", data=agreement, headers={"x-csrf-token": token}).ok
        self.page.goto(f"{self.site.base}/work/" if agreed else f"{self.site.base}/join/{invitation}")
        self.heading()
        return self

    def heading(self, text=None):
        """Wait for a screen, and return its heading."""
        found = self.page.locator(".screen-heading", has_text=text and re.compile(f"^{text}$"))
        found.wait_for()
        return found.inner_text()

    def said(self):
        """Return what the page said last."""
        return self.page.locator(".said").inner_text()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def ready(self):
        """Wait until the answer can be sent."""
        self.page.locator(".send[aria-disabled=false]").wait_for()

    def send(self, next_heading):
        self.ready()
        self.press("Enter")
        self.heading(next_heading)

    def shown(self, place):
        """Return the text of a response as it is shown."""
        return self.page.locator(".response-text").nth(place - 1).text_content().strip()

    def foreign(self):
        """Return the requests that went to other hosts."""
        own = urlsplit(self.site.base).netloc
        return [url for url in self.requests if urlsplit(url).netloc != own and not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="session")
def secret():
    return SECRET


@pytest.fixture(scope="session")
def fill():
    """Fill a store and a study with comparisons."""
    return fill_comparisons


@pytest.fixture(scope="session")
def site_of():
    """Describe a study that a test serves itself."""
    return Site


@dataclass
class Heard:
    """What a page of Gradio's said aloud or asked elsewhere, and must not have."""

    base: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self, page):
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.said.append(message.text))
        page.on("dialog", lambda dialog: self.said.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda each: each.url.startswith(("http", "ws")) and self.asked.append(each.url))

    def check(self):
        # A reload breaks off what is on its way, which Gradio's script says aloud.
        broken_off = ("AbortError", "Connection errored out")
        assert [each for each in self.said if not any(words in each for words in broken_off)] == []
        assert [url for url in self.asked if not url.startswith(self.base)] == []


@pytest.fixture(scope="session")
def heard():
    """Return `heard(base)`, which listens to pages and checks what it heard."""
    return Heard


@pytest.fixture(scope="session")
def hostile():
    return hostile_texts()


@pytest.fixture(scope="session")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'rewardkit[dev]'")
    program = next(filter(None, map(shutil.which, ("/usr/bin/chromium", "chromium", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def axe():
    """Find violations that hinder people: `axe(page)`."""
    core = pytest.importorskip("axe_playwright_python.base", reason="needs axe-core: pip install 'rewardkit[dev]'")
    script = core.AXE_FILE_PATH.read_text(encoding="utf-8")

    def violations(page):
        if not page.evaluate("'axe' in window"):
            page.evaluate(script)
        found = page.evaluate("options => axe.run(options)", OPTIONS)["violations"]
        return [
            (each["id"], each["impact"], [node["html"][:200] + node["failureSummary"] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    return violations


@pytest.fixture(scope="session")
def sites(tmp_path_factory):
    """All studies, served by one process."""
    folder, words = tmp_path_factory.mktemp("sites"), []
    studies, stores = {}, {}
    for name, settings in STUDIES.items():
        config = LabelConfig.model_validate(settings)
        studies[name] = Study.of(config, name)
        stores[name] = Store.open(folder / f"{name}.db")
        FILL[name](stores[name], studies[name])
        (folder / f"{name}.json").write_text(config.model_dump_json(), encoding="utf-8")
        words.append(f"{name}={folder / name}.json={folder / name}.db")
    script = Path(__file__).with_name("serve_studies.py")
    with subprocess.Popen([sys.executable, script, SECRET, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            ports = process.stdout.readline().split()
            assert len(ports) == len(STUDIES), "the server did not start"
            served = zip(STUDIES, ports, strict=True)
            yield {name: Site(f"http://127.0.0.1:{port}", stores[name], studies[name]) for name, port in served}
        finally:
            process.kill()
    for store in stores.values():
        store.close()


@pytest.fixture(scope="session")
def window(browser):
    """One window for all visitors, so that what the pages consist of is loaded once."""
    context = browser.new_context()
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def visit(browser, window, sites):
    """Let somebody new visit a study: `visit("compare")`; two at a time need windows of their own (`apart`)."""
    opened = []

    def come(study, *, agreed=True, site=None, apart=False):
        if apart:
            opened.append(browser.new_context())
        else:
            window.clear_cookies()
        page = (opened[-1] if apart else window).new_page()
        visitor = Visitor(site or sites[study], f"visitor-{next(NUMBERS)}", page)
        visitor.look(1280, "light")
        visitor.watch()
        return visitor.enter(agreed=agreed)

    yield come
    window.set_offline(False)
    for each in (*window.pages, *opened):
        each.close()


def fill_comparisons(store, study, number=8, **how):
    """Add comparisons of Markdown texts, every other one after a conversation of three messages."""
    sets = []
    for at in range(number):
        turns = ["Tell me a story about **rain**.", "Of what length?", f"Short, number {at} of {study.name}."]
        roles = ("user", "assistant", "user")
        messages = tuple(Message(role=role, content=text) for role, text in zip(roles, turns, strict=True))
        prompt = Prompt.of(messages if at % 2 else messages[2:])
        texts = [
            f"It *rained* on {at}. Then 🌧️ it **stopped**. Nobody noticed.",
            f"The {at}th drop fell.\n\n- one\n- two",
        ]
        found = [Response.of(prompt.id, text) for text in texts]
        store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
        sets.append(sorted(each.id for each in found))
    add_items(store, study, sets, **how)
    return sets


def fill_journey(store, study):
    fill_comparisons(store, study)
    known = Study(f"{study.name} known")
    sets = fill_comparisons(store, known, 2)
    expected = {tuple(ids): "tie" for ids in sets}
    add_items(store, study, sets, role="qualification", expected=expected)


def fill_ranking(store, study):
    for task in range(2):
        prompt = Prompt.of((Message(role="user", content=f"Name a colour, {task}."),))
        found = [Response.of(prompt.id, f"{colour} {task}") for colour in ("red", "green", "blue", "grey")]
        store.add([prompt, *found])
        add_items(store, study, [[each.id for each in found]], task="ranking")


def fill_rating(store, study):
    prompt = Prompt.of((Message(role="user", content="Name a colour."),))
    found = [Response.of(prompt.id, colour) for colour in ("red", "green")]
    store.add([prompt, *found])
    add_items(store, study, [[each.id] for each in found], task="rating")


def fill_review(store, study):
    """Comparisons about which a judge has said something already."""
    judge = Annotator.of("judge", "wise")
    said = [
        Label.of(
            Comparison.identity(prompt_id, *ids), judge.id, choice="a", p_a=0.8, rationale="A has *rhythm*.\nB is flat."
        )
        for ids in fill_comparisons(store, study)
        for prompt_id in {each.prompt_id for each in store.responses() if each.id in ids}
    ]
    store.add([judge, *said])


def fill_hostile(store, study):
    """Two of the hostile texts stand in each item: as messages, and as responses."""
    texts, sets = hostile_texts(), []
    for pair in zip(texts[::2], texts[1::2], strict=True):
        prompt = Prompt.of(tuple(Message(role="user", content=text) for text in pair))
        found = [Response.of(prompt.id, text) for text in pair]
        store.add([prompt, *found])
        sets.append([each.id for each in found])
    add_items(store, study, sets)


def hostile_texts():
    """Return the list on which the rendering is tested too; an even number of texts."""
    listed = Path(__file__).parents[1] / "unit" / "labeling_ui" / "test_rendering.py"
    texts = runpy.run_path(str(listed))["HOSTILE"]
    return texts + ["<b>one more</b>"] * (len(texts) % 2)


FILL = {
    "compare": fill_comparisons,
    "rated": fill_comparisons,
    "journey": fill_journey,
    "ranking": fill_ranking,
    "rating": fill_rating,
    "review": fill_review,
    "hostile": fill_hostile,
}
