"""Load on the labelling page: answers a second, time from an answer to the next item, memory, and kills.

A real server (`rewardkit label`, SQLite with synchronous=FULL) and visitors that
are programs, in processes beside it on the same machine.

    python benchmarks/labeling_load.py [--parts think saturated sessions kills] [--items 20000]

think       100 annotators who think for 5 s: 95th percentile from sending an answer to having the next item
saturated   50 annotators who do not think: labels a second
sessions    memory of a session that has the page open, over 500 of them
kills       all items labelled by 3 each from 50 annotators while the server is killed (kill -9) ten times:
            labels too many, lost or doubled

Prints what each part measured and writes benchmarks/results/labeling_load.json with the machine; exit code 1 where
a target is missed (100 ms, 100 labels a second, 100 KB, none).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from machine import machine

from rewardkit.runs import write_json
from rewardkit.simulation.visiting import Visitor
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

RESULT = Path(__file__).parent / "results" / "labeling_load.json"
TARGETS = {"p95_ms": 100.0, "labels_per_second": 100.0, "session_kb": 100.0}
TIE = {"task": "comparison", "choice": "tie"}
OVERLAP = 3


class Server:
    """`rewardkit label` on a workspace, which may be killed and started again at the same address."""

    def __init__(self, folder: Path, database: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "server.log"
        policy = {"overlap": OVERLAP, "most_overlap": OVERLAP, "repeats": 0.0, "gold_early": 0.0, "gold_late": 0.0}
        label = {"study": "load", "least_seconds": 0.0, "port": self.port, "assignment": policy}
        self.config = folder / "load.yaml"
        self.config.write_text(json.dumps({"name": "load", "workspace": str(folder), "db": database, "label": label}))

    def start(self, *, invite: int = 0) -> list[str]:
        """Start; return the links of new invitations once it answers."""
        command = [sys.executable, "-m", "rewardkit", "label", str(self.config), "--invite", str(invite)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        while not self.answers():
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.05)
        return re.findall(r"invitation: (\S+)", self.log.read_text())

    def answers(self) -> bool:
        """Tell whether it serves."""
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
            try:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return b"200" in probe.recv(100)
            except OSError:
                return False

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss


def fill(database: str, count: int) -> None:
    """Add comparisons of texts of ordinary length."""
    draws = random.Random(0)
    words = "the cat sat near an open window and thought of rain while nobody in the house was awake".split()
    with Store.open(database) as store:
        records = []
        for number in range(count):
            prompt = Prompt.of((Message(role="user", content=f"Write a story about number {number}."),))
            texts = [" ".join(draws.choices(words, k=draws.randrange(40, 160))) + f" {number} {side}" for side in "xy"]
            first, second = (Response.of(prompt.id, text) for text in texts)
            records += [prompt, first, second, Comparison.of(prompt.id, first.id, second.id, source="load")]
        store.add(records)


def enter(link: str) -> tuple[Visitor, dict]:
    visitor = Visitor(link, patience=60.0)
    visitor.enter()
    turn = visitor.ask("/api/turn")
    if turn["step"] == "consent":
        turn = visitor.tell("/api/consent", version=turn["version"])
    return visitor, turn


def label(link: str, until: float, think: float, times: list[float]) -> None:
    """Label until a moment, or until nothing is left."""
    visitor, turn = enter(link)
    time.sleep(random.random() * think)
    while turn["step"] == "item" and time.time() < until:
        start = time.perf_counter()
        turn = visitor.submit(turn["item"]["lease"], TIE)
        times.append(time.perf_counter() - start)
        time.sleep(think)
    visitor.leave()


def together(links: list[str], until: float, think: float) -> list[float]:
    """Let annotators label at the same time; return the seconds of each step from answer to next item."""
    times: list[float] = []
    with ThreadPoolExecutor(len(links)) as pool:
        for ended in [pool.submit(label, link, until, think, times) for link in links]:
            ended.result()
    return times


def think(server: Server, seconds: float) -> dict:
    links = server.start(invite=100)
    times = sorted(together(links, time.time() + seconds, 5.0))
    server.kill()
    p95 = times[int(0.95 * len(times))] * 1000
    return {"annotators": 100, "think_s": 5, "n": len(times), "p50_ms": round(statistics.median(times) * 1000, 1),
            "p95_ms": round(p95, 1), "most_ms": round(times[-1] * 1000, 1)}  # fmt: skip


def saturated(server: Server, seconds: float) -> dict:
    links = server.start(invite=50)
    start = time.time()
    times = together(links, start + seconds, 0.0)
    took = time.time() - start
    server.kill()
    return {"annotators": 50, "n": len(times), "labels_per_second": round(len(times) / took, 1),
            "p50_ms": round(statistics.median(times) * 1000, 1)}  # fmt: skip


def sessions(server: Server, count: int = 500) -> dict:
    """Open the page as a browser does: its HTML, its config, an item, and the stream that stays open."""
    links = server.start(invite=count)
    opened = []
    for number, link in enumerate(links):
        if number == 20:
            # What the first visitors load once for all is no session's.
            before = server.memory()
        visitor, _ = enter(link)
        visitor._request("GET", "/work/")
        visitor._request("GET", "/work/config")
        stream = Visitor(link, timeout=10.0, _headers=dict(visitor._headers))
        connection = stream_of(server.port, visitor._headers["cookie"], f"session{number}")
        visitor.leave()
        opened.append((connection, stream))
    after = server.memory()
    for connection, _ in opened:
        connection.close()
    server.kill()
    return {"sessions": count, "session_kb": round((after - before) / (count - 20) / 1024, 1)}


def stream_of(port: int, cookie: str, session: str) -> socket.socket:
    """Open the stream by which Gradio knows that a page is open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    path = f"/work/gradio_api/heartbeat/{session}"
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\n\r\n".encode())
    first = connection.recv(200)
    if b" 200 " not in first:
        raise SystemExit(f"the page's stream cannot be opened: {first!r}")
    return connection


def kills(server: Server, database: str, items: int, count: int = 10) -> dict:
    links = server.start(invite=50)
    wanted, done = items * OVERLAP, threading.Event()

    def killer() -> None:
        draws = random.Random(1)
        for number in range(1, count + 1):
            while not done.is_set() and labels_in(database) < number * wanted / (count + 1):
                time.sleep(0.5)
            time.sleep(draws.random() * 0.2)
            server.kill()
            server.start()

    thread = threading.Thread(target=killer)
    thread.start()
    start = time.time()
    together(links, start + 24 * 3600, 0.0)
    # Items in the hands of requests that a kill ended are still theirs; whoever comes back gets them.
    together(links, start + 24 * 3600, 0.0)
    took = time.time() - start
    done.set()
    thread.join()
    server.kill()
    with Store.open(database) as store:
        labels = list(store.labels())
    per_item = Counter(each.comparison_id for each in labels)
    per_person = Counter((each.comparison_id, each.annotator_id) for each in labels)
    return {
        "items": items, "overlap": OVERLAP, "annotators": 50, "kills": count, "labels": len(labels),
        "over_assigned": sum(max(0, n - OVERLAP) for n in per_item.values()),
        "lost": sum(OVERLAP - n for n in per_item.values() if n < OVERLAP) + (items - len(per_item)) * OVERLAP,
        "doubled": sum(n - 1 for n in per_person.values()), "seconds": round(took, 1),
    }  # fmt: skip


def labels_in(database: str) -> int:
    with Store.open(database) as store:
        return store.counts()["labels"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["think", "saturated", "sessions", "kills"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long think and saturated last")
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    found: dict[str, dict] = {}
    for part in chosen.parts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            database = str(folder / "rewardkit.db")
            fill(database, chosen.items)
            server = Server(folder, database)
            if part in ("think", "saturated"):
                found[part] = {"think": think, "saturated": saturated}[part](server, chosen.seconds)
            else:
                found[part] = sessions(server) if part == "sessions" else kills(server, database, chosen.items)
        print(part, found[part], flush=True)
    # Parts that are not run now stay as they are, each with the machine that it ran on.
    kept = json.loads(chosen.out.read_text())["parts"] if chosen.out.exists() else {}
    all_parts = {**kept, **{name: {**part, "machine": machine()} for name, part in found.items()}}
    write_json(chosen.out, {"parts": all_parts, "targets": TARGETS, "command": "python benchmarks/labeling_load.py"})
    return 0 if all(reached(found)) else 1


def reached(found: dict[str, dict]) -> list[bool]:
    values = {name: value for part in found.values() for name, value in part.items()}
    answers = [values.get("p95_ms", 0.0) <= TARGETS["p95_ms"], values.get("session_kb", 0.0) <= TARGETS["session_kb"]]
    answers.append(values.get("labels_per_second", 1e9) >= TARGETS["labels_per_second"])
    return [*answers, not any(values.get(name) for name in ("over_assigned", "lost", "doubled"))]


if __name__ == "__main__":
    raise SystemExit(main())
