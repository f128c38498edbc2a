"""What is written survives: reloads, lost connections, and a server that is killed and comes back."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.labelling_tables import leases
from rewardkit.store.store import Store


def write(visitor):
    """Answer, and write what is worth keeping."""
    page = visitor.page
    visitor.press("2")
    page.get_by_role("button", name="clichéd").click()
    page.locator("#rationale").fill("in the middle of a sen")
    page.get_by_role("button", name="Edit Response 2").click()
    page.get_by_label("A better Response 2").fill("half of an edit")


def assert_back(visitor):
    page = visitor.page
    assert page.get_by_text("Draft restored").is_visible()
    assert page.get_by_role("radio", name="Response 1 better").get_attribute("aria-checked") == "true"
    assert page.get_by_role("button", name="clichéd").get_attribute("aria-pressed") == "true"
    assert page.locator("#rationale").input_value() == "in the middle of a sen"
    assert page.get_by_label("A better Response 2").input_value() == "half of an edit"


def test_a_draft_survives_a_reload_at_once(visit):
    visitor = visit("compare")
    write(visitor)
    visitor.page.reload()
    visitor.heading("Item 1")
    assert_back(visitor)


def test_a_draft_comes_back_on_another_device(visit):
    visitor = visit("compare")
    write(visitor)
    visitor.page.get_by_text("Draft saved").wait_for()
    visitor.page.evaluate("localStorage.clear()")
    visitor.page.reload()
    visitor.heading("Item 1")
    assert_back(visitor)
    visitor.page.locator(".screen-heading").focus()
    visitor.send("Item 2")
    assert visitor.page.evaluate("localStorage.length") == 0


def test_an_answer_that_was_sent_offline_arrives_once(visit):
    visitor = visit("compare")
    visitor.press("1")
    visitor.ready()
    visitor.page.context.set_offline(True)
    visitor.press("Enter")
    lost = visitor.page.get_by_role("alert").get_by_text("Connection lost. Your answer is kept")
    lost.wait_for()
    visitor.press("Enter", "3", "Enter")
    assert not visitor.site.labels(visitor.name)
    visitor.page.context.set_offline(False)
    visitor.heading("Item 2")
    assert not lost.is_visible()
    assert len(visitor.site.labels(visitor.name)) == 1


@pytest.mark.parametrize("how", ["answer is lost", "server errs"])
def test_an_answer_whose_receipt_was_lost_is_not_sent_twice(visit, how):
    visitor = visit("compare")
    lost = []

    def lose(route):
        # The server takes it in, and the browser never hears of it.
        if not lost:
            lost.append(route.fetch().status)
            if how == "server errs":
                route.fulfill(status=502, body="bad gateway")
            else:
                route.abort("connectionreset")
        else:
            route.continue_()

    visitor.page.route("**/api/submit", lose)
    visitor.press("7")
    visitor.ready()
    visitor.press("Enter")
    visitor.heading("Item 2")
    assert lost == [200] and visitor.said() == "Your answer had arrived and is saved."
    assert not visitor.page.locator(".notice").is_visible()
    assert len(visitor.site.labels(visitor.name)) == 1


def test_a_try_whose_receipt_was_lost_counts_once(visit):
    visitor = visit("journey")
    page, lost = visitor.page, []

    def lose(route):
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    page.route("**/api/check", lose)
    for question in range(2):
        page.locator("fieldset").nth(question).locator("input").nth(0).check()
    page.get_by_role("button", name="Send the answers").click()
    page.get_by_text("Not right yet: question 2.").wait_for()
    assert lost == [200] and "You have 1 try left." in page.locator(".questions").inner_text()


def test_an_answer_that_is_too_long_is_kept_and_can_be_mended(visit):
    visitor = visit("compare")
    box = visitor.page.locator("#rationale")
    box.evaluate("box => { box.value = 'x'.repeat(20_001); box.dispatchEvent(new Event('input')); }")
    visitor.press("4")
    visitor.ready()
    visitor.press("Enter")
    visitor.page.locator(".notice").get_by_text("String should have at most 20000 characters").wait_for()
    assert len(box.input_value()) == 20_001 and visitor.heading() == "Item 1"
    box.fill("shorter")
    visitor.press("Control+Enter")
    visitor.heading("Item 2")
    assert [label.rationale for label in visitor.site.labels(visitor.name)] == ["shorter"]


def test_what_the_gate_refuses_is_said(visit):
    visitor = visit("compare")
    said = "the request is too large, or does not say how large it is"
    visitor.page.route("**/api/submit", lambda route: route.fulfill(status=413, body=said))
    visitor.press("4")
    visitor.ready()
    visitor.press("Enter")
    visitor.page.locator(".notice").get_by_text("The request is too large").wait_for()
    assert visitor.page.locator(".send").get_attribute("aria-disabled") == "false"


def test_a_refusal_is_explained_and_the_answer_kept(visit):
    visitor = visit("compare")
    with visitor.site.store.writing() as connection:
        connection.execute(sa.update(leases).values(leased_at=leases.c.leased_at + 1000))
    visitor.press("5")
    visitor.ready()
    visitor.press("Enter")
    alert = visitor.page.locator(".notice")
    alert.get_by_text("That was too fast to have read everything. Read, then send it again.").wait_for()
    assert visitor.page.get_by_role("radio", name="Response 2 slightly better").get_attribute("aria-checked") == "true"
    alert.get_by_role("button", name="Close").click()
    assert not alert.is_visible() and not visitor.site.labels(visitor.name)


def test_somebody_without_a_session_is_shown_the_way_in(visit):
    visitor = visit("compare")
    visitor.page.context.clear_cookies()
    visitor.press("4")
    visitor.ready()
    visitor.press("Enter")
    visitor.page.get_by_text("If you were sent a link, open it.").wait_for()
    assert visitor.page.url.endswith("/login") and not visitor.site.labels(visitor.name)


class Server:
    """`rewardkit label` as a user starts it."""

    def __init__(self, folder, secret):
        self.folder, self.port, self.secret = folder, 0, secret
        (folder / "label.yaml").write_text(
            "name: kept\nlabel: {least_seconds: 0.0, assignment: {overlap: 9, most_overlap: 9, repeats: 0.0}}\n"
        )

    def start(self):
        command = [sys.executable, "-m", "rewardkit", "label", self.folder / "label.yaml"]
        command += ["--set", f"workspace={self.folder}", "--set", f"label.port={self.port}"]
        environment = {**os.environ, "REWARDKIT_SECRET": self.secret}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stderr:
            if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                return self.wait()
        raise AssertionError("the server did not start")

    def wait(self):
        """Wait until it accepts connections: it says where it will be before it does."""
        while self.process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise AssertionError("the server ended")

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        with self.process:
            pass


@pytest.fixture
def server(tmp_path, secret):
    started = Server(tmp_path, secret)
    yield started
    started.kill()


def test_a_killed_server_loses_nothing(visit, server, tmp_path, fill, site_of):
    study = Study("kept", LabelConfig.model_validate({"least_seconds": 0.0}))
    with Store.open(tmp_path / "rewardkit.db") as store:
        fill(store, study)
        server.start()
        site = site_of(f"http://127.0.0.1:{server.port}", store, study)
        sending, writing = visit(None, site=site), visit(None, site=site, apart=True)
        sending.press("4")
        sending.send("Item 2")
        write(writing)
        write(sending)
        server.kill()
        sending.page.locator(".screen-heading").focus()
        sending.press("Enter")
        sending.page.get_by_role("alert").get_by_text("Connection lost").wait_for()
        server.start()
        sending.page.get_by_role("button", name="Try now").click()
        sending.heading("Item 3")
        writing.page.reload()
        writing.heading("Item 1")
        assert_back(writing)
        labels = site.labels(sending.name)
        (edit,) = [label for label in labels if "edited" in label.metadata]
        (tie,) = [label for label in labels if label.choice == "tie"]
        (said,) = [label for label in labels if label not in (edit, tie)]
        assert said.strength == 2 and said.rationale == "in the middle of a sen"
        assert site.texts(edit.comparison_id)[edit.choice] == "half of an edit"
        assert not site.labels(writing.name)
