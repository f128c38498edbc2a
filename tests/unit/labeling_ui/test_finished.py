"""A study that has all its labels is announced: once, signed, and again until it is taken."""

from __future__ import annotations

import hmac
import json
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from labeling_ui import finished as module
from labeling_ui.answers import ComparisonAnswer
from labeling_ui.finished import SIGNATURE, Finished
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import events

ONCE = AssignmentConfig(overlap=1, most_overlap=1, repeats=0.0)


@pytest.fixture
def listener():
    """An address that keeps what it is sent, and fails as often as it is told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            server.seen.append((body, self.headers[SIGNATURE]))
            self.send_response(200 if len(server.seen) > server.fails else 500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.fails = [], 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def watch(desk, listener):
    return Finished(desk.store, desk.study.name, f"http://127.0.0.1:{listener.server_port}/done", "secret", desk.clock)


def label_all(desk, person):
    while lease := desk.next(person):
        desk.submit(lease.id, person, ComparisonAnswer(choice="tie"))


def kinds(desk):
    with desk.store.reading() as connection:
        return [
            kind
            for kind in connection.execute(sa.select(events.c.kind)).scalars()
            if "finished" in kind or "web" in kind
        ]


def test_it_is_announced_when_all_is_labelled_and_once(desk, settle, stock, comparisons, join, watch, listener):
    settle(assignment=ONCE)
    assert watch.check() and listener.seen == []
    stock(comparisons(2).values())
    assert watch.check() and listener.seen == []
    label_all(desk, join("ann"))
    assert watch.check() and watch.check()
    ((body, signature),) = listener.seen
    assert json.loads(body) == {"study": "study", "items": 2, "wanted": 2, "done": 2, "leased": 0}
    assert signature == hmac.digest(b"secret", body, "sha256").hex()
    # Later items make it larger; that it is finished again is news.
    stock(comparisons(1, tag="later ").values())
    label_all(desk, join("ben"))
    assert watch.check() and len(listener.seen) == 2


def test_it_is_told_again_until_it_is_taken(desk, settle, stock, comparisons, join, watch, listener):
    settle(assignment=ONCE)
    stock(comparisons(1).values())
    label_all(desk, join("ann"))
    listener.fails = 1
    assert not watch.check() and watch.check()
    watch.url = "http://127.0.0.1:1/nobody"
    assert kinds(desk) == ["webhook failed", "finished"] and watch.check()


def test_it_is_watched_while_the_page_is_served(desk, settle, stock, comparisons, join, watch, listener, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)
    settle(assignment=ONCE)
    stock(comparisons(1).values())
    label_all(desk, join("ann"))
    told = threading.Event()
    monkeypatch.setattr(watch, "_note", lambda kind, **_: told.set())
    with watch.watching():
        assert told.wait(10)
    assert threading.active_count() == len([t for t in threading.enumerate() if t.name != "finished"])


@contextmanager
def away(store):
    """Take the database away while the block runs, in the way in which each kind goes."""
    store.close()
    if store.files:
        file = store.files[0]
        kept = file.rename(file.with_suffix(".kept"))
        file.write_text("no database, but text that is long enough to be taken for one " * 20)
        yield
        store.close()
        kept.rename(file)
        return
    name = sa.make_url(store.url).database
    admin = sa.create_engine(sa.make_url(store.url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        yield
        connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()


def test_a_database_that_is_away_for_a_while_ends_no_watching(
    desk, settle, stock, comparisons, join, watch, listener, monkeypatch
):
    monkeypatch.setattr(module, "SECONDS", 0.02)
    monkeypatch.setattr(module, "MOST_SECONDS", 0.1)
    said, seen = [], threading.Event()

    def hear(message):
        said.append(message)
        if len(said) > 2:
            seen.set()

    monkeypatch.setattr(module, "log", hear)
    settle(assignment=ONCE)
    stock(comparisons(1).values())
    label_all(desk, join("ann"))
    told, note = threading.Event(), watch._note
    monkeypatch.setattr(watch, "_note", lambda kind, **about: (note(kind, **about), told.set()))
    with ExitStack() as watching:
        with away(desk.store):
            watching.enter_context(watch.watching())
            assert seen.wait(20)
        assert told.wait(20)
    assert all("cannot be told now: " in each for each in said)
    assert len(listener.seen) == 1 and kinds(desk) == ["finished"]
