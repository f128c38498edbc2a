"""Conversations in a real browser: by keyboard, while models fail, connections break and pages are loaded again."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

TALKING = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))
model, served, MODELS, HOSTILE = (TALKING[name] for name in ("model", "served", "MODELS", "HOSTILE"))
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def site(model, tmp_path_factory, secret, site_of):
    chat = {
        "url": model.url,
        "models": MODELS,
        "most_turns": 3,
        "conversations": 2,
        "seconds": 60,
        "longest_message": 250,
    }
    with served(tmp_path_factory.mktemp("talk"), secret=secret, rubric="fiction", chat=chat) as (talk, _):
        yield site_of(talk.base, talk.store, talk.study)


@pytest.fixture
def talk(visit, site, model):
    """Let somebody new come who may talk."""
    model.go.clear()
    yield lambda **how: visit("talk", site=site, **how)
    model.go.set()


def say(visitor, text):
    visitor.page.locator("#message").wait_for()
    visitor.page.keyboard.type(text)
    visitor.press("Enter")


def streamed(visitor):
    """Wait for the beginning of both replies; return them as they are shown."""
    panes = visitor.page.locator(".streaming", has_text=":")
    panes.nth(1).wait_for()
    return panes.all_inner_texts()


def choose(visitor, key):
    scale = visitor.page.locator(".scale").element_handle()
    visitor.press(key)
    visitor.ready()
    visitor.press("Enter")
    visitor.page.wait_for_function("scale => !scale.isConnected", arg=scale)


def test_a_conversation_with_the_keyboard_alone(talk, model):
    visitor = talk()
    page = visitor.page
    assert visitor.heading() == "Conversation 1 of 2"
    assert page.evaluate("document.activeElement.id") == "message"
    say(visitor, "wait")
    # What has come is shown as it was written, while more is awaited.
    before = streamed(visitor)
    assert all(text.endswith("*wait*") for text in before) and page.locator(".scale").count() == 0
    model.go.set()
    page.locator(".scale").wait_for()
    assert visitor.said() == "Both replies are there. Choose the better one."
    assert page.locator(".response-text em").all_inner_texts() == ["wait", "wait"]
    assert [visitor.shown(place) for place in (1, 2)] == [text.replace("*", "") for text in before]
    visitor.press("n")
    page.keyboard.type("It is 7 times better.")
    visitor.press("Escape")
    choose(visitor, "6")
    page.locator("#message").wait_for()
    assert visitor.said() == "Your answer is saved."
    assert page.locator(".message.assistant").inner_text().split("\n")[-1] == before[1].replace("*", "")
    # Shift+Enter begins a line, and letters that are keys elsewhere are letters here.
    page.keyboard.type("b c 1")
    visitor.press("Shift+Enter")
    say(visitor, "f p")
    choose(visitor, "b")
    choose(visitor, "c")
    visitor.heading("Conversation 2 of 2")
    say(visitor, "Hello")
    choose(visitor, "4")
    page.locator("#message").wait_for()
    visitor.press("Escape", "f", "Enter")
    visitor.heading("Thank you")
    assert page.get_by_text("You have answered 4 items").is_visible()
    labels = visitor.site.labels(visitor.name)
    assert [(label.choice if label.choice not in ("a", "b") else "preferred", label.strength) for label in labels] == [
        ("preferred", 2),
        ("both_bad", None),
        (None, None),
        ("tie", None),
    ]
    assert visitor.site.texts(labels[0].comparison_id)[labels[0].choice] == before[1]
    assert labels[0].rationale == "It is 7 times better." and labels[2].status == "abstained"
    asked = model.asked[-1][2]["messages"], model.asked[-3][2]["messages"]
    assert asked[1][-1]["content"] == "b c 1\nf p"
    assert not visitor.errors and not visitor.foreign()


def test_no_name_of_a_model_reaches_the_browser(talk):
    visitor, seen = talk(), []
    visitor.page.on("response", lambda answer: "/api/chat" in answer.url and seen.append(answer))
    say(visitor, "Hello")
    choose(visitor, "2")
    visitor.page.locator("#message").wait_for()
    # A stream's body is not kept for tests; what was made of it is in the page.
    bodies = [answer.text() for answer in seen if not answer.url.endswith("/replies")] + [visitor.page.content()]
    assert len(seen) == len(bodies) == 3 and not [name for body in bodies for name in MODELS if name in body]


def test_what_a_model_writes_cannot_act(talk):
    visitor = talk()
    say(visitor, "hostile")
    visitor.page.locator(".scale").wait_for()
    title = visitor.page.title()
    assert '<img src=x onerror="document.title=1">' in visitor.shown(1) and "{{ 7*7 }}" in visitor.shown(2)
    choose(visitor, "1")
    visitor.page.locator("#message").wait_for()
    assert "<script>" in visitor.page.locator(".message.assistant").inner_text()
    assert visitor.page.title() == title and not visitor.errors


def test_a_model_that_fails_is_said_once_and_tried_again(talk):
    visitor = talk()
    say(visitor, "stumble")
    alert = visitor.page.get_by_role("alert").filter(has_text="refused")
    alert.wait_for()
    assert alert.inner_text().startswith("The model's server refused. Your message is kept. Try again.")
    assert visitor.page.get_by_text("Both replies are being written").is_hidden()
    visitor.press("Enter")
    choose(visitor, "3")
    visitor.page.locator("#message").wait_for()
    assert visitor.page.locator(".message.user").count() == 1


def test_a_reload_in_the_middle_loses_nothing(talk, model):
    visitor = talk()
    page = visitor.page
    page.keyboard.type("half of a mess")
    page.reload()
    visitor.heading()
    assert page.locator("#message").input_value() == "half of a mess"
    page.locator("#message").fill("")
    say(visitor, "wait")
    first = streamed(visitor)
    page.reload()
    visitor.heading()
    assert page.locator(".message.user").inner_text().endswith("wait")
    second = streamed(visitor)
    assert not set(first) & set(second)
    model.go.set()
    page.locator(".scale").wait_for()
    visitor.press("2")
    page.get_by_role("button", name="funnier").click()
    page.reload()
    page.locator(".scale").wait_for()
    assert page.locator("[aria-checked=true]").inner_text().startswith("better")
    assert page.get_by_role("button", name="funnier").get_attribute("aria-pressed") == "true"
    page.locator(".screen-heading").focus()
    visitor.ready()
    visitor.press("Enter")
    page.locator("#message").wait_for()
    (label,) = visitor.site.labels(visitor.name)
    assert visitor.site.texts(label.comparison_id)[label.choice] in second
    assert page.evaluate("localStorage.length") == 0


def test_a_connection_that_breaks_in_the_middle_is_taken_up_again_once(talk):
    visitor, tries = talk(), []
    half = json.dumps({"place": "1", "text": "half of a re"}) + "\n"

    def broken(route):
        tries.append(route)
        route.fulfill(body=half, content_type="application/x-ndjson")

    visitor.page.route("**/api/chat/replies", broken)
    say(visitor, "Hello")
    alert = visitor.page.get_by_role("alert").filter(has_text="broke off")
    alert.wait_for()
    assert len(tries) == 2
    visitor.page.unroute("**/api/chat/replies")
    visitor.page.get_by_role("button", name="Try again").click()
    choose(visitor, "5")
    visitor.page.locator("#message").wait_for()
    assert "half of a re" not in visitor.page.content()


def test_two_windows_of_one_person(talk, model):
    visitor = talk()
    say(visitor, "wait")
    streamed(visitor)
    other = visitor.page.context.new_page()
    other.goto(f"{visitor.site.base}/work/")
    visitor.page.get_by_role("alert").filter(has_text="another window").wait_for()
    model.go.set()
    other.locator(".scale").wait_for()
    visitor.page.get_by_role("button", name="Try again").click()
    visitor.page.locator(".scale").wait_for()
    assert other.locator(".response-text").all_inner_texts() == visitor.page.locator(".response-text").all_inner_texts()


def test_a_break_while_models_write(talk, model):
    visitor = talk()
    say(visitor, "wait")
    streamed(visitor)
    visitor.press("p")
    visitor.heading("Time stands still")
    model.go.set()
    visitor.press("Enter")
    visitor.heading("Conversation 1 of 2")
    visitor.page.locator(".scale").wait_for()
    assert not visitor.errors


def test_no_stage_hinders_anybody(talk, model, axe):
    visitor = talk()
    page = visitor.page
    page.emulate_media(reduced_motion="reduce")

    def check(stage):
        for width, scheme in LOOKS:
            visitor.look(width, scheme)
            assert axe(page) == [], f"{stage} at {width}, {scheme}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{stage} is wider than {width}"
        visitor.look(1280, "light")

    check("writing")
    page.locator("#message").fill("wait")
    visitor.press("Enter")
    streamed(visitor)
    check("streaming")
    model.go.set()
    page.locator(".scale").wait_for()
    page.locator("summary").click()
    visitor.press("5")
    check("choosing")
    page.locator(".screen-heading").focus()
    visitor.ready()
    visitor.press("Enter")
    page.locator("#message").wait_for()
    check("writing again")
    say(visitor, "refuse")
    page.get_by_role("alert").filter(has_text="refused").wait_for()
    check("failed")


def test_on_a_phone_enter_begins_a_line_and_the_button_sends(browser, site):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{site.base}/join/{site.sessions.invitation('phone')}")
    page.get_by_role("button", name="I have read this and agree").tap()
    page.locator("#message").tap()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    assert page.locator("#message").input_value() == "one\ntwo"
    assert page.get_by_text("Enter sends").count() == 0
    page.get_by_role("button", name="Send").tap()
    page.get_by_role("radio", name="Response 2 better", exact=True).tap()
    page.get_by_role("button", name="Go on").tap()
    page.locator(".message.assistant").wait_for()
    context.close()
