"""A server in this process whose model does as it is told: it waits, fails or dies, and its rewards are lengths."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from itertools import accumulate

import httpx

from rewardkit.listening import listening
from rewardkit.reward_model.rendering import Rendered, Unrendered
from rewardkit.reward_model.whole_texts import Whole
from rewardkit.serving.daemon_thread import DaemonThread
from rewardkit.serving.engine import About, Reading
from rewardkit.serving.options import Options
from rewardkit.serving.server import Server
from rewardkit.serving.service import Service

PATIENCE = 60


def in_order(budget):
    """Choose as many sequences from the front as fit a budget of tokens; one at least."""

    def choose(sequences):
        ends = accumulate(map(len, sequences))
        return [place for place, end in enumerate(ends) if not place or end <= budget]

    return choose


class ByHand:
    """A model whose tokens are bytes and whose rewards are lengths.

    Texts decide: "!" in one breaks the pass that it is in, "?" has no ids, "~" a reward that is no number.
    """

    def __init__(self, *, budget=64, calibration=None):
        self.about = About("by-hand", "none@0", 1024, "drop", calibration)
        self.budget = budget
        self.passes, self.threads = [], set()
        # Set: passes go through. Cleared: the next one waits.
        self.open, self.reading = threading.Event(), threading.Event()
        self.open.set()

    def encode(self, asked):
        return [self._encode(each.text if isinstance(each, Whole) else each[1]) for each in asked]

    def _encode(self, text):
        return Unrendered("it asks") if "?" in text else Rendered(list(text.encode()), "…" in text)

    def with_first(self, sequences):
        return in_order(self.budget)(sequences)

    def read(self, sequences):
        self.threads.add(threading.current_thread().name)
        self.reading.set()
        assert self.open.wait(PATIENCE)
        texts = [bytes(ids).decode() for ids in sequences]
        self.passes.append(texts)
        if any("!" in text for text in texts):
            raise RuntimeError("it shouts")
        return [Reading((float("nan") if "~" in text else float(len(text)),)) for text in texts]


@contextmanager
def serving(engine, *, key="", most_waiting=10_000, **options):
    """Serve a model on a free port of loopback; yields the server and its address."""
    chosen = Options(port=0, most_waiting=most_waiting, **options)
    with listening(chosen.host, chosen.port, fix="") as bound:
        server = Server(Service(engine, chosen.most_waiting, DaemonThread("rewards")), chosen, key)
        ready = threading.Event()
        thread = threading.Thread(target=server.serve_on, args=(bound, ready.set))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield server, f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            if hasattr(engine, "open"):
                engine.open.set()
            end(server)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def end(server):
    """Tell a server to end, as a signal does; once."""
    if not server.service.ending:
        server.handle_exit(15, None)


def client(address, **how):
    """Return a client of a server."""
    return httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False, **how)
