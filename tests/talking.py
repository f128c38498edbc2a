"""A model that does as it is told, behind the interface of OpenAI, and a study in which people talk with it.

What the last message says decides what comes: two replies that differ, or one of the ways in which models fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import httpx
import pytest

from labeling_ui.sessions import Sessions
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store

SECRET = "of the conversations' tests, at least 32 letters"
KEY = "a key that only the environment knows"
MODELS = ("model-alpha", "model-beta")
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> **bold** {{ 7*7 }}'


class Model(ThreadingHTTPServer):
    """Replies; `go` lets those go on that wait, `asked` are the requests so far.

    `script` is what follows some words, in pieces; None waits for `go`, a number so many seconds, and 0 breaks.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.script = {}
        self.go, self.asked, self.numbers, self.left = threading.Event(), [], count(1), threading.Semaphore(0)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Asked(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers.get("authorization"), body))
        said = body["messages"][-1]["content"]
        stumbles = (
            said == "stumble" and sum(each["messages"][-1]["content"] == said for *_, each in self.server.asked) < 3
        )
        if said == "refuse" or stumbles:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(f"{body['model']} is overloaded".encode())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            self.reply(said, body["model"])
        except OSError:
            self.server.left.release()

    def reply(self, said, model):
        number = next(self.server.numbers)
        scripted = next((pieces for words, pieces in self.server.script.items() if words in said), None)
        if scripted is not None:
            self.pieces(scripted)
        elif said in ("same", "empty", "hostile", "halves"):
            self.pieces(
                {"same": ["the ", "same"], "empty": [], "hostile": [HOSTILE], "halves": ["\ud83c", "\udf27"]}[said]
            )
        else:
            self.pieces([f"Reply {number}: ", f"*{said}*"])
        if said == "endless":
            self.pieces(["x" * 10_000] * 11)
        if said == "nonsense":
            self.line("{broken")
        if said == "complaint":
            self.line(json.dumps({"error": {"message": f"{model} has no memory"}}))
        if said == "listen":
            while not self.server.go.is_set():
                self.pieces(["."])
                time.sleep(0.02)
        if said in ("wait", "hang"):
            self.server.go.wait(20)
        if said != "break off":
            self.line(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
            self.line("[DONE]")

    def pieces(self, texts):
        for text in texts:
            if text is None:
                self.server.go.wait(20)
                continue
            if isinstance(text, float):
                time.sleep(text)
                continue
            if text == 0:
                return self.line("{broken")
            self.line(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}))

    def line(self, data):
        self.wfile.write(f": a comment\n\ndata: {data}\n\n".encode())
        self.wfile.flush()


class Talk:
    """A study that is served by the command line."""

    def __init__(self, base, store, study):
        self.base, self.store, self.study = base, store, study
        self.sessions = Sessions(SECRET, study.name)

    @property
    def link(self):
        return f"{self.base}/join/{self.sessions.invitation()}"


@contextmanager
def served(folder, *, secret=SECRET, sections=None, **settings):
    """Serve a study, whose config may have more sections; yields it and the server's process."""
    config = folder / "talk.yaml"
    label = {"port": 0, "least_seconds": 0.0, **settings}
    job = {"name": "talk", "workspace": str(folder), "label": label, **(sections or {})}
    config.write_text(json.dumps(job), encoding="utf-8")
    environment = {**os.environ, "REWARDKIT_SECRET": secret, "MODEL_KEY": KEY}
    words = [sys.executable, "-m", "rewardkit", "label", str(config)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            said = []
            while "serving at" not in (line := process.stderr.readline()):
                assert line, f"the server did not start: {''.join(said)}"
                said.append(line)
            # What it says from now on must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            base = line.split("serving at ")[1].split("/ ")[0]
            until_it_answers(base)
            with Store.open(folder / "rewardkit.db") as store:
                yield Talk(base, store, Study.of(LabelConfig.model_validate(label), "talk")), process
        finally:
            process.kill()


def until_it_answers(base):
    """Wait for the server: it says where it is before it listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(f"{base}/healthz").raise_for_status()
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def model():
    with Model() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.go.set()
        server.shutdown()


@pytest.fixture(scope="module")
def talk(model, tmp_path_factory):
    """A study with two models, whose key comes from the environment."""
    chat = {
        "url": model.url,
        "models": MODELS,
        "key_variable": "MODEL_KEY",
        "seconds": 6,
        "streams": 3,
        "most_turns": 3,
    }
    with served(tmp_path_factory.mktemp("talk"), chat=chat) as (site, _):
        yield site
