"""What Gradio offers beside a page, and nobody needs, is out of reach."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from labeling_ui.people import People
from labeling_ui.server import build
from labeling_ui.sessions import COOKIE
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator


@pytest.fixture
def client(tmp_path):
    with Store.open(tmp_path / "g.db") as store:
        served = build(store, Study("gated", LabelConfig()), "s" * 40, pages=False)
        person = People(store, "gated").join("invitation", "ann", Annotator.of("human", "gated-ann"))
        made = TestClient(served.app, base_url="http://localhost", follow_redirects=False)
        made.cookies.set(COOKIE, served.sessions.cookie(person))
        yield made


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
