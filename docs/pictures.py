"""Takes the pictures of the README: every page of the labelling app, as a browser shows it.

    python docs/pictures.py [NAME …]

Studies on the demo's texts are served by real servers, and labelled by people who do not exist (see try_out.py); the
replies and the judge's points are those of smollm2-135m. Nothing is written into a page here but by mouse and keyboard.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import try_out
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
LARGEST = 150_000
"""Bytes of a picture."""
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WIDE, TALL, PHONE = (1280, 900), (1280, 1040), (390, 844)
CHECK: dict[str, Any] = {
    "questions": [
        {"text": "May the *longer* response lose?", "options": ["Yes, if it is the weaker one", "No"], "right": 1},
        {"text": "What if both are poor?", "options": ["Take one anyway", "Say that both are bad"], "right": 2},
    ]
}
COMMON = {"rubric": "creative", "least_seconds": 0.5}


@dataclass
class Camera:
    """A browser, and where its pictures go.

    Attributes:
        browser: The browser.
        taken: Names of pictures, for the end.
    """

    browser: Browser
    taken: list[str]

    @contextmanager
    def page(self, size: tuple[int, int], link: str) -> Iterator[Page]:
        """Open a window of somebody's own at a link."""
        phone = size == PHONE
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            is_mobile=phone,
            reduced_motion="reduce",
        )
        try:
            page = context.new_page()
            page.goto(link)
            yield page
        finally:
            context.close()

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Take a picture, of what is in the window or of the whole page, once nothing moves and nothing is said."""
        page.locator(".said.shown").wait_for(state="hidden")
        page.wait_for_timeout(400)
        file = HERE / f"{name}.png"
        file.write_bytes(small(page.screenshot(full_page=whole)))
        self.taken.append(name)
        sys.stderr.write(f"{file} {file.stat().st_size // 1000} kB\n")


def small(png: bytes) -> bytes:
    """Return a picture with as many colours as fit into the bytes that it may have."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if len(out.getvalue()) <= LARGEST:
            break
    return out.getvalue()


def heading(page: Page, text: str = "") -> None:
    """Wait for a screen."""
    page.locator(".screen-heading", has_text=text).wait_for()


def agree(page: Page) -> None:
    """Agree to what is on the first screen."""
    heading(page)
    page.get_by_role("button", name="I have read this and agree").click()


def pass_check(page: Page) -> None:
    """Answer the questions of the check."""
    for question, right in enumerate(each["right"] for each in CHECK["questions"]):
        page.locator("fieldset").nth(question).locator("input").nth(right - 1).check()
    page.locator(".actions button.primary").click()


def comparisons(camera: Camera, folder: Path) -> None:
    """Take the way in, the work page, and the researchers' page."""
    label = {**COMMON, "check": CHECK, "gold": {"source": "gold"}, "limit": 60, "most_items": 40}
    config = try_out.written(folder / "fiction-pilot", label)
    try_out.fill(config, "fiction.jsonl", "poems.jsonl", gold="jokes.jsonl")
    try_out.work(config)
    with try_out.served(config) as place:
        with camera.page(WIDE, place.invitations[0]) as page:
            heading(page)
            camera.take(page, "label-consent")
            agree(page)
            page.locator("fieldset").first.wait_for()
            camera.take(page, "label-check")
        for size, invitation, name in (
            (TALL, place.invitations[1], "label"),
            (PHONE, place.invitations[2], "label-phone"),
        ):
            with camera.page(size, invitation) as page:
                agree(page)
                pass_check(page)
                compare(page)
                camera.take(page, name)
        with camera.page(WIDE, place.researchers) as page:
            researchers(camera, page, config.with_name("gold.jsonl"))


def compare(page: Page) -> None:
    """Answer an item without sending it, as somebody who reads; wait until the draft is saved."""
    heading(page, "Item 1")
    texts = page.locator(".response-text")
    better = max((0, 1), key=lambda place: try_out.level_of(texts.nth(place).inner_text()))
    for place, sign in ((1 - better, "Bad"), (better, "Good")):
        texts.nth(place).focus()
        page.keyboard.press("m")
        page.get_by_role("button", name=sign, exact=True).click()
    page.get_by_role("button", name="better written").click()
    page.get_by_label("Why?").fill("The details are its own, and nothing is explained.")
    page.get_by_role("radio", name=f"Response {better + 1} better").click()
    page.evaluate("scrollTo(0, 0)")
    page.locator(".kept", has_text="Draft saved").wait_for()


def researchers(camera: Camera, page: Page, file: Path) -> None:
    """Take each tab of the researchers' page; a file is brought and looked at."""
    page.locator(".admin .tiles").wait_for()
    camera.take(page, "label-admin", whole=True)
    for tab, ready in (
        ("Annotators", ".people tbody tr"),
        ("Disagreements", ".admin .sides, .admin .pane, .admin h3"),
        ("Settings", "textarea"),
        ("Audit trail", ".admin tbody tr"),
    ):
        page.get_by_role("tab", name=tab).first.click()
        page.locator(ready).locator("visible=true").first.wait_for()
        camera.take(page, f"label-admin-{tab.split()[-1].lower()}")
    page.get_by_role("tab", name="Data").first.click()
    page.set_input_files("#upload input[type=file]", file)
    page.locator("#look table").first.wait_for()
    page.evaluate("scrollTo(0, 320)")
    camera.take(page, "label-admin-data")


def rankings(camera: Camera, folder: Path) -> None:
    """Take a ranking, in the middle of a drag."""
    config = try_out.written(folder / "ranking", {**COMMON, "task": "ranking", "limit": 10})
    try_out.fill(config, "jokes.jsonl")
    with try_out.served(config) as place, camera.page(WIDE, place.invitations[0]) as page:
        agree(page)
        heading(page, "Item 1")
        page.keyboard.type("31425")
        page.locator(".ranking").scroll_into_view_if_needed()
        page.locator(".ladder li").last.scroll_into_view_if_needed()
        grip = page.locator(".ladder li").nth(3).locator(".grip").bounding_box()
        above = page.locator(".ladder li").nth(1).bounding_box()
        assert grip is not None and above is not None
        page.mouse.move(grip["x"] + 15, grip["y"] + 15)
        page.mouse.down()
        page.mouse.move(grip["x"] + 15, above["y"] + 8, steps=8)
        camera.take(page, "label-ranking")


def ratings(camera: Camera, folder: Path) -> None:
    """Take a rating, and the end."""
    config = try_out.written(folder / "rating", {**COMMON, "task": "rating", "limit": 10, "most_items": 1})
    try_out.fill(config, "poems.jsonl")
    with try_out.served(config) as place, camera.page(TALL, place.invitations[0]) as page:
        agree(page)
        heading(page, "Item 1")
        page.keyboard.type("434", delay=50)
        page.evaluate("scrollTo(0, 0)")
        camera.take(page, "label-rating")
        page.locator(".send[aria-disabled=false]").click()
        heading(page, "Thank you")
        camera.take(page, "label-done")


def reviews(camera: Camera, folder: Path) -> None:
    """Take what a judge says after the blind answer."""
    config = try_out.written(folder / "review", {**COMMON, "limit": 10, "review": {"live": {}, "share": 1.0}})
    try_out.fill(config, "jokes.jsonl")
    with try_out.served(config) as place, camera.page(TALL, place.invitations[0]) as page:
        agree(page)
        heading(page, "Item 1")
        page.keyboard.press("6")
        page.locator(".send[aria-disabled=false]").click()
        heading(page, "What a model says")
        page.locator(".point [role=radio]").first.wait_for(timeout=180_000)
        points = page.locator(".point")
        points.first.get_by_role("radio", name="Right" if "2 is" in points.first.inner_text() else "Wrong").click()
        points.nth(1).get_by_role("radio", name="Wrong").click()
        page.evaluate("scrollTo(0, 0)")
        camera.take(page, "label-review")


def judges(camera: Camera, folder: Path) -> None:
    """Take a judge beside people, and the same judge at work on one comparison."""
    judge = {"model": "smollm2-135m", "rubric": "joke", "limit": 40}
    label = {**COMMON, "rubric": "joke", "limit": 40}
    config = try_out.written(folder / "judges", label, judge=judge, audit={"resamples": 200})
    try_out.fill(config, "jokes.jsonl")
    try_out.work(config)
    try_out.rewardkit("judge", str(config))
    with try_out.served(config) as place, camera.page(TALL, place.researchers) as page:
        page.locator(".admin .tiles").wait_for()
        page.get_by_role("tab", name="Judges").first.click()
        page.get_by_role("button", name="Measure the judges").click()
        page.get_by_text("The judges are measured.").wait_for(timeout=120_000)
        page.get_by_role("button", name="Watch it work").click()
        page.locator("#words .verdict").wait_for(timeout=180_000)
        page.get_by_text("Who said what").click()
        camera.take(page, "label-admin-judges", whole=True)


def conversations(camera: Camera, folder: Path) -> None:
    """Take a conversation with a model."""
    chat = {"models": ["smollm2-135m"], "max_tokens": 90, "most_turns": 4, "conversations": 1}
    config = try_out.written(
        folder / "talk", {**COMMON, "rubric": None, "title": "Which reply is better?", "chat": chat}
    )
    with try_out.served(config) as place, camera.page(WIDE, place.invitations[0]) as page:
        agree(page)
        heading(page, "Conversation")
        page.locator("#message").fill("Give me an idea for a short story about a lighthouse.")
        page.get_by_role("button", name="Send").click()
        page.locator(".scale").wait_for(timeout=180_000)
        page.get_by_role("radio", name="Response 1 better").click()
        page.evaluate("scrollTo(0, 0)")
        camera.take(page, "label-chat")


PICTURES: dict[str, Callable[[Camera, Path], None]] = {
    "comparisons": comparisons,
    "rankings": rankings,
    "ratings": ratings,
    "reviews": reviews,
    "judges": judges,
    "conversations": conversations,
}


def main(*wanted: str) -> None:
    """Take the pictures of these pages; of all without a name."""
    program: Any = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        camera = Camera(browser, [])
        for name in wanted or PICTURES:
            PICTURES[name](camera, Path(folder))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
