"""The process in which a local chat model runs: `python -m rewardkit.jobs.chat_worker MODEL`.

The first line of standard input is the key that requests must carry. The process says on standard output on which
port it listens, or why it cannot, and ends when standard input does, which is when its parent ends in whatever way.
A request is a line of JSON; the answer are lines of JSON, as `Sampler` gives them and one `done` at the end.
"""

from __future__ import annotations

import hmac
import os
import socketserver
import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

import orjson

from rewardkit.errors import UserError
from rewardkit.jobs.chat_sampling import Line, Sampler

LONGEST_REQUEST = 64 * 2**20


class Worker(socketserver.ThreadingTCPServer):
    """Listens on loopback; one request is sampled at a time, others wait for their turn."""

    daemon_threads = True

    def __init__(self, sampler: Sampler, key: str) -> None:
        self.sampler, self.key, self.turn = sampler, key, threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def answers(self, request: Line, gone: threading.Event) -> Iterator[Line]:
        """Return what a request asks for: replies, or probabilities of labels."""
        if "read" in request:
            return iter([self.sampler.read(request["read"])])
        return self.sampler.sample(request, gone)


class Handler(socketserver.StreamRequestHandler):
    """Answers one request."""

    def handle(self) -> None:
        """Sample replies until they are whole, or nobody listens any more."""
        worker = cast(Worker, self.server)
        line = self.rfile.readline(LONGEST_REQUEST)
        request: dict[str, Any] = orjson.loads(line) if line.endswith(b"\n") else {}
        if not hmac.compare_digest(str(request.pop("key", "")).encode(), worker.key.encode()):
            return
        gone = threading.Event()
        threading.Thread(target=self._watch, args=(gone,), daemon=True).start()
        with worker.turn:
            if gone.is_set():
                return
            for answer in worker.answers(request, gone):
                self._send(answer, gone)
        self._send({"done": True}, gone)

    def _watch(self, gone: threading.Event) -> None:
        """Notice that the other side has closed: it sends nothing more than its request."""
        try:
            self.connection.recv(1)
        except OSError:
            # Closed with a reset: gone all the same.
            gone.set()
        gone.set()

    def _send(self, answer: dict[str, Any], gone: threading.Event) -> None:
        try:
            self.wfile.write(orjson.dumps(answer) + b"\n")
        except OSError:
            gone.set()


def main(model: str) -> int:
    """Load a model and serve it until standard input ends."""
    key = sys.stdin.readline().strip()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        worker = Worker(Sampler.load(model), key)
    except UserError as error:
        _say({"what": error.what, "where": error.where or model, "expected": error.expected, "fix": error.fix})
        return error.exit_code
    _say({"port": worker.server_address[1]})
    with worker:
        worker.serve_forever()
    return 0


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
