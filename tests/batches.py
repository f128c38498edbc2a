"""Servers that take batches as OpenAI and Anthropic do, and judge as they are told: well, or as batches fail.

Of single requests, what the user's message ends with decides: "late" expires and "lost" is forgotten in the first batch
in which they are sent, "dead" and "long" are errors. A batch takes as many looks as the server is told.
"""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
JUDGING = runpy.run_path(str(FOLDER / "judging.py"))
MESSAGING = runpy.run_path(str(FOLDER / "messages.py"))
ERRORS = JUDGING["ERRORS"]


class Batching:
    """What both have in common; `server.batches` are the rows of each, `server.looked` how often it was looked at."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers["content-length"]))
        if "batch" not in self.path and "files" not in self.path:
            return self.refuse(404, "only batches are taken here")
        if self.server.refusals:
            status = self.server.refusals.pop(0)
            return self.refuse(status, "not now", **({"retry-after": "0.05"} if status == 429 else {}))
        return self.posted(content)

    def text(self, status, text, **headers):
        content = text.encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def made(self, rows):
        """Begin a batch of (key, body)."""
        with self.server.lock:
            name = f"batch_{len(self.server.batches) + 1}"
            self.server.batches[name], self.server.looked[name] = rows, 0
            for _, body in rows:
                self.server.times[self.said(body)] += 1
                self.server.asked.append((time.monotonic(), self.headers.get("authorization"), body))
        return name

    def said(self, body):
        return body["messages"][-1]["content"].rsplit(maxsplit=1)[-1]

    def looked(self, name):
        """Return how many requests of a batch are done now, and how many there are."""
        with self.server.lock:
            self.server.looked[name] += 1
            total = len(self.server.batches[name])
            return min(total, total * self.server.looked[name] // max(1, self.server.looks)), total

    def results(self, name):
        """Yield (key, status, what is said): 200 and an answer, an error, or 0 for what nobody came to."""
        for key, body in self.server.batches[name]:
            said = self.said(body)
            first = self.server.times[said] == 1
            if said == "lost" and first:
                continue
            if said == "key" and self.server.mended:
                yield key, 200, self.told(body, "well")
                continue
            if said == "late" and first:
                yield key, 0, "expired"
            elif said in ERRORS:
                yield key, *ERRORS[said]
            else:
                yield key, 200, self.told(body, said)


class OpenAIBatching(Batching, JUDGING["Judging"]):
    """OpenAI's files and batches."""

    def posted(self, content):
        if self.path == "/v1/files":
            lines = [json.loads(line) for line in content.splitlines() if line.startswith(b'{"custom_id"')]
            assert all(line["method"] == "POST" and line["url"] == "/v1/chat/completions" for line in lines)
            with self.server.lock:
                name = f"file-{len(self.server.files) + 1}"
                self.server.files[name] = [(line["custom_id"], line["body"]) for line in lines]
            shown = {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "requests.jsonl"}
            return self.send(200, {**shown, "purpose": "batch", "status": "processed"})
        asked = json.loads(content)
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        return self.send(200, self.shown(self.made(self.server.files[asked["input_file_id"]]), 0))

    def do_GET(self):
        parts = self.path.split("/")
        if parts[2] == "files":
            return self.text(200, self.file(*parts[3].split("-of-")))
        if parts[3] not in self.server.batches:
            return self.refuse(404, "no such batch")
        if self.server.refusals:
            return self.refuse(self.server.refusals.pop(0), "not now")
        return self.send(200, self.shown(parts[3], self.looked(parts[3])[0]))

    def shown(self, name, done):
        total, failed = len(self.server.batches[name]), self.server.failing
        status = "failed" if failed else "completed" if done >= total else "in_progress"
        errors = {"object": "list", "data": [{"code": "x", "message": failed, "line": 1, "param": None}]}
        ended = status == "completed"
        return {
            "id": name,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": "file-1",
            "status": status,
            "errors": errors if failed else None,
            "output_file_id": f"good-of-{name}" if ended else None,
            "error_file_id": f"bad-of-{name}" if ended else None,
            "request_counts": {"total": total, "completed": done, "failed": 0},
        }

    def file(self, which, name):
        lines = []
        for key, status, what in self.results(name):
            if (which == "good") != (status == 200):
                continue
            body = what if status == 200 else {"error": {"message": what}}
            row = {"id": "x", "custom_id": key, "response": {"status_code": status, "body": body}, "error": None}
            if not status:
                row |= {"response": None, "error": {"code": "batch_expired", "message": what}}
            lines.append(json.dumps(row, ensure_ascii=False))
        return "\n".join([*lines[::-1], '{"custom_id": "half a li'])


class AnthropicBatching(Batching, MESSAGING["Messaging"]):
    """Anthropic's message batches."""

    def posted(self, content):
        asked = json.loads(content)["requests"]
        assert all(len(each["custom_id"]) <= 64 for each in asked)
        return self.send(200, self.shown(self.made([(each["custom_id"], each["params"]) for each in asked]), 0))

    def do_GET(self):
        name = self.path.split("/")[4]
        if name not in self.server.batches:
            return self.refuse(404, "no such batch")
        if self.path.endswith("/results"):
            lines = [json.dumps(row, ensure_ascii=False) for row in self.rows(name)]
            return self.text(200, "\n".join([*lines[::-1], '{"custom_id": "half a li']))
        if self.server.refusals:
            return self.refuse(self.server.refusals.pop(0), "not now")
        return self.send(200, self.shown(name, self.looked(name)[0]))

    def shown(self, name, done):
        total = len(self.server.batches[name])
        ended = done >= total
        # Nothing is counted before all has ended.
        counts = {"processing": 0 if ended else total, "succeeded": total if ended else 0}
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
            "results_url": f"{self.server.url}/messages/batches/{name}/results" if ended else None,
        }

    def rows(self, name):
        for key, status, what in self.results(name):
            kind = MESSAGING["KINDS"].get(status, "api_error")
            result = {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": what}}}
            if status == 200:
                result = {"type": "succeeded", "message": what}
            yield {"custom_id": key, "result": result if status else {"type": what}}


@pytest.fixture(params=["openai", "anthropic"])
def provider(request):
    handler = OpenAIBatching if request.param == "openai" else AnthropicBatching
    with JUDGING["running"](handler) as serving:
        serving.provider, serving.batches, serving.files, serving.looked = request.param, {}, {}, {}
        serving.looks, serving.refusals, serving.failing, serving.mended = 3, [], "", False
        serving.base = serving.url if request.param == "openai" else serving.url.removesuffix("/v1")
        yield serving
