"""A server that judges as it is told, behind the interface of OpenAI: well, or as servers fail.

What the user's message ends with decides: "well" is A with probability .7 and B with .2, and words that mean nothing
to it are answered as their hash says.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest

KNOWN = {
    "well": {"A": 0.5, " A": 0.2, "B": 0.2, "the": 0.05},
    "rare": {"A": 0.97, "the": 0.02},
    "unclear": {"the": 0.5, "A": 0.2, "It": 0.15},
}


ERRORS = {
    "dead": (500, "something is broken"),
    "full": (529, "Overloaded"),
    "long": (400, "maximum context length is 8 tokens"),
    "key": (401, "no such key"),
    "forbidden": (403, "this is not allowed"),
    "echo-key": (401, "no such key: {}"),
    "schemaless": (400, "'response_format' of type 'json_schema' is not supported with this model"),
    "cold": (400, "Unsupported value: 'temperature' does not support 0.0 with this model"),
}
VERDICT = '{"verdict": "A"}'


def shares_of(text):
    """Return the probabilities with which a question is answered."""
    share = Random(text).uniform(0.1, 0.8)
    return {"A": share, "B": 0.9 - share, "the": 0.05}


def replaced(answer, where, what):
    """Return an answer in which something else stands under a key, wherever it is."""
    if isinstance(answer, dict):
        return {key: what if key == where else replaced(value, where, what) for key, value in answer.items()}
    return [replaced(each, where, what) for each in answer] if isinstance(answer, list) else answer


class JudgingServer(ThreadingHTTPServer):
    """`asked` are the requests so far, `under_way` those that are being answered, and the most there ever were."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Judging)
        self.asked, self.times, self.lock = [], Counter(), threading.Lock()
        self.under_way = self.most = 0
        self.room, self.model, self.odd, self.delay = None, "served", None, 0.0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, address):
        # Whoever asked was killed, or has gone away.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, address)

    def reset(self, *, room=None):
        """Forget all; with room for so many at the same time others are told that it is too much."""
        self.asked.clear()
        self.times.clear()
        self.most, self.room, self.model, self.delay = 0, room, "served", 0.0


class Judging(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        try:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        except ValueError:
            # Who asked has gone away in the middle.
            return
        said = body["messages"][-1]["content"].rsplit(maxsplit=1)[-1]
        key = self.headers.get("authorization") or self.headers.get("x-api-key")
        with server.lock:
            server.asked.append((time.monotonic(), key, body))
            server.times[said] += 1
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            crowded = server.room is not None and server.under_way > server.room
        try:
            self.answer(body, "crowded" if crowded else said, server.times[said])
        except OSError:
            pass
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, body, said, times):
        if self.server.room is not None or self.server.delay:
            time.sleep(self.server.delay or 0.01)
        if said == "crowded" or (said == "busy" and times < 3):
            return self.refuse(429, "too many requests", **{"retry-after": "0.05"})
        if said in ERRORS or (said == "ill" and times < 3):
            status, message = ERRORS.get(said, (500, "something broke"))
            return self.refuse(status, message.format(self.headers["authorization"]))
        if said in ("half", "hang", "away", "drip") or self.server.model == "broken":
            return self.fail(said)
        answer = self.told(body, said)
        return self.send(200, replaced(answer, *self.server.odd) if said == "odd" else answer)

    def fail(self, said):
        """Send no whole answer."""
        if said == "hang":
            time.sleep(3)
        if said == "away":
            return self.connection.shutdown(socket.SHUT_RDWR)
        if said != "drip":
            return self.text(200, '{"id": "x", "choices": [{"index": 0, "mess')
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b" ")
            time.sleep(0.1)
        return None

    def told(self, body, said):
        text = "".join(message["content"] for message in body["messages"])
        top = KNOWN.get(said) or shares_of(text)
        tokens = math.ceil(len(text) / 4)
        told = [{"token": token, "logprob": math.log(share), "bytes": None} for token, share in top.items()]
        told = told[: body.get("top_logprobs", 0)]
        logprobs = {"content": [{**told[0], "top_logprobs": told}], "refusal": None} if told else None
        if said == "silent":
            logprobs = None
        content = VERDICT if body.get("response_format") else "The answer is A." if not body.get("logprobs") else "A"
        refusal = "That is not for me to say." if said == "refusal" else None
        message = {"role": "assistant", "content": None if refusal else content, "refusal": refusal}
        choice = {"index": 0, "message": message, "logprobs": logprobs}
        choice["finish_reason"] = "length" if said == "cut" else "stop"
        usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "impostor" if said == "impostor" else self.server.model,
            "choices": [choice] * {"twice": 2, "none": 0}.get(said, 1),
            "usage": None if said == "uncounted" else usage,
        }

    def refuse(self, status, message, **headers):
        self.send(status, {"error": {"message": message}}, **headers)

    def send(self, status, answer, **headers):
        self.text(status, json.dumps(answer), **headers)

    def text(self, status, text, **headers):
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def running(handler=None):
    """Run a server in this process."""
    with JudgingServer(handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


@pytest.fixture(scope="module")
def server():
    with running() as serving:
        yield serving
