"""What Gradio offers beside a page, and nobody needs, is out of reach."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from labeling_ui.admin_access import Researchers
from labeling_ui.people import People, Refused
from labeling_ui.server import build
from labeling_ui.sessions import COOKIE, Sessions
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.labelling_tables import events
from rewardkit.store.store import Store
from rewardkit.types import Annotator


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "g.db") as opened:
        yield opened


@pytest.fixture
def people(store):
    return People(store, "gated")


@pytest.fixture
def client(store, people):
    served = build(store, Study("gated", LabelConfig()), "s" * 40, pages=False)
    person = people.join("invitation", "ann", Annotator.of("human", "gated-ann"))
    made = TestClient(served.app, base_url="http://localhost", follow_redirects=False)
    made.cookies.set(COOKIE, served.sessions.cookie(person))
    return made


@pytest.fixture
def researcher(people):
    """The cookie of a researcher."""
    person = people.join("researcher", "rae", Annotator.of("human", "gated-rae"), role="admin")
    return Sessions("s" * 40, "gated").cookie(person)


@pytest.mark.parametrize(
    "path",
    ["upload", "file=/etc/passwd", "file=http://127.0.0.1/", "file/x", "proxy=http://127.0.0.1/", "stream/a/b/1/x.ts"],
)
def test_annotators_upload_and_fetch_nothing_over_gradio(client, path):
    for method in ("GET", "POST", "HEAD"):
        assert client.request(method, f"/work/gradio_api/{path}").status_code == 403


def test_nothing_is_sent_to_the_annotators_page(client):
    assert client.post("/work/gradio_api/queue/join", json={}).status_code == 403
    # Without pages there is nothing behind the gate, which lets what the page consists of through.
    for path in ("/work/", "/work/config", "/work/assets/index.js", "/work/theme.css"):
        assert client.get(path).status_code == 404


def test_whoever_is_not_known_sends_no_more_than_a_name_and_a_password(client):
    def chunks():
        yield b"name=ann&password="
        yield b"x" * 10

    form = {"content-type": "application/x-www-form-urlencoded"}
    client.cookies.clear()
    for path in ("/login", "/signup", "/logout", "/nothing", "/work/gradio_api/upload"):
        assert client.post(path, content=b"x" * 20_001, headers=form).status_code == 413
        assert client.post(path, content=chunks(), headers=form).status_code == 413
        both = {**form, "transfer-encoding": "chunked", "content-length": "28"}
        assert client.post(path, content=chunks(), headers=both).status_code == 413
    assert client.post("/login", content=b"", headers={"content-length": b"\xb2"}).status_code == 413
    assert "is wrong" in client.post("/login", data={"name": "ann", "password": "a long password"}).text


def test_a_paused_researcher_is_none(client, store, people, researcher):
    client.cookies.set(COOKIE, researcher)
    assert client.get("/admin/files/export/records.jsonl").status_code == 200
    people.set_state(people.find("researcher", "rae").id, "paused")
    for path in ("/admin/files/export/records.jsonl", "/admin/"):
        answer = client.get(path)
        assert answer.status_code == 403 and "paused" in answer.text
    # The handlers look themselves, whatever the gate says.
    with pytest.raises(Refused, match="for the researchers"):
        Researchers(people, Sessions("s" * 40, "gated")).require({COOKIE: researcher}, "anything")
    with store.reading() as connection:
        (why,) = connection.execute(sa.select(events.c.details).where(events.c.kind == "refused")).scalars()
    assert why["why"] == "paused"
    people.set_state(people.find("researcher", "rae").id, "active")
    assert client.get("/admin/files/export/records.jsonl").status_code == 200
