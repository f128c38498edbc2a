"""Conversations over HTTP, without a browser: who may say something, what is refused, and where they stand then."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from labeling_ui.server import Writers, build
from labeling_ui.study import Study
from rewardkit.jobs.chat_models import chat_models
from rewardkit.label_config import ChatConfig, LabelConfig
from rewardkit.store.labelling_tables import events, people
from rewardkit.store.store import Store

SECRET = "s" * 40
model = runpy.run_path(str(Path(__file__).parents[2] / "talking.py"))["model"]
SECOND = {"task": "comparison", "choice": "second", "strength": 1}


@pytest.fixture
def visit(model, tmp_path):
    """Serve a study; return a function that makes clients who may work."""
    chat = ChatConfig(url=model.url, models=("m",), most_turns=1, conversations=1, longest_message=50)
    study = Study("study", LabelConfig(least_seconds=0.0, chat=chat))
    with Store.open(tmp_path / "s.db") as store, chat_models(chat) as replies:
        served = build(store, study, SECRET, pages=False, writers=Writers(replies=replies))

        def come(*, agreed=True):
            client = TestClient(served.app, base_url="http://localhost", follow_redirects=False)
            client.get(f"/join/{served.sessions.invitation()}")
            client.headers["x-csrf-token"] = client.get("/api/me").json()["csrf"]
            if agreed:
                assert client.post("/api/consent", json={"version": study.version}).status_code == 200
            return client

        come.store, come.app = store, served.app
        yield come


def token(client):
    return client.get("/api/turn").json()["chat"]["token"]


def post(client, path, **body):
    return client.post(f"/api/chat/{path}", json=body)


def test_a_turn_from_the_message_to_the_completion_code(visit):
    client = visit()
    turn = client.get("/api/turn").json()
    assert turn["step"] == "chat" and turn["progress"]["done"] == 0
    chat = turn["chat"]
    assert (chat["awaits"], chat["messages"], chat["turn"], chat["turns"]) == ("message", [], 1, 1)
    turn = post(client, "say", token=chat["token"], text="Hello <b>you</b>").json()
    assert turn["chat"]["messages"][0]["html"].count("&lt;b&gt;") == 1
    answer = post(client, "replies", token=turn["chat"]["token"])
    assert answer.headers["content-type"] == "application/x-ndjson" and answer.headers["cache-control"] == "no-store"
    *pieces, last = map(json.loads, answer.text.splitlines())
    assert {piece["place"] for piece in pieces} == {"1", "2"}
    turn = post(client, "pick", token=last["turn"]["chat"]["token"], answer=SECOND).json()
    assert turn["step"] == "done" and turn["progress"]["done"] == 1 and turn["code"]
    assert len(list(visit.store.labels())) == 1


@pytest.mark.parametrize("path", ["say", "replies", "pick", "end"])
def test_nobody_else_may(visit, path):
    client = visit()
    body = {"token": token(client), **{"say": {"text": "Hello"}, "pick": {"answer": SECOND}}.get(path, {})}
    nobody = TestClient(visit.app, base_url="http://localhost")
    assert post(nobody, path, **body).status_code == 401
    assert client.post(f"/api/chat/{path}", json=body, headers={"x-csrf-token": "forged"}).status_code == 403
    # Somebody else's token is worth nothing.
    assert post(visit(), path, **body).status_code == 409
    assert token(client) == body["token"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("say", {"text": "x" * 51}, 409),
        ("say", {"text": " "}, 409),
        ("say", {"text": "Hello", "person": "another"}, 422),
        ("say", {}, 422),
        ("replies", {}, 409),
        ("pick", {"answer": {"task": "comparison", "choice": "third"}}, 422),
        ("pick", {"answer": SECOND}, 409),
        ("end", {}, 409),
    ],
)
def test_what_does_not_fit_is_refused(visit, path, body, status):
    client = visit()
    assert post(client, path, token=token(client), **body).status_code == status
    assert client.get("/api/turn").json()["chat"]["messages"] == []


def test_not_before_consent_and_not_in_a_break(visit):
    early = visit(agreed=False)
    assert early.get("/api/turn").json()["step"] == "consent"
    assert post(early, "say", token="anything", text="Hello").status_code == 409
    client = visit()
    held = token(client)
    assert client.post("/api/break", json={"on": True}).json()["step"] == "break"
    assert post(client, "say", token=held, text="Hello").status_code == 409
    client.post("/api/break", json={"on": False})
    assert post(client, "say", token=held, text="Hello").status_code == 200


def test_not_while_paused(visit):
    client = visit()
    held = token(client)
    with visit.store.writing() as connection:
        connection.execute(sa.update(people).values(state="paused"))
    assert client.get("/api/turn").json() == {"step": "paused"}
    assert post(client, "say", token=held, text="Hello").json()["problem"].startswith("you are paused")
    with visit.store.reading() as connection:
        assert "refused" in connection.execute(sa.select(events.c.kind)).scalars().all()


def test_hostile_replies_are_shown_and_do_not_act(visit):
    client = visit()
    turn = post(client, "say", token=token(client), text="hostile").json()
    *pieces, last = map(json.loads, post(client, "replies", token=turn["chat"]["token"]).text.splitlines())
    # The same model said the same twice: the conversation ended with it.
    assert "<script>" in pieces[0]["text"] and last["turn"]["step"] == "done"


def test_a_study_of_items_has_no_conversations(tmp_path):
    with Store.open(tmp_path / "s.db") as store:
        client = TestClient(build(store, Study("study"), SECRET, pages=False).app)
        assert client.post("/api/chat/say", json={"token": "t", "text": "Hello"}).status_code == 404
