"""A server that judges as it is told, behind the interface of Anthropic's messages: well, or as servers fail."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

JUDGING = runpy.run_path(str(Path(__file__).parent / "judging.py"))
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Messaging(JUDGING["Judging"]):
    """As the other one; what the user's message ends with decides."""

    def told(self, body, said):
        assert body["max_tokens"] > 0 and {"role": "system"} not in body["messages"]
        text = "".join(message["content"] for message in body["messages"]) + body.get("system", "")
        content = [{"type": "text", "text": "The answer "}, {"type": "text", "text": "is A."}]
        if "output_config" in body:
            content = [{"type": "text", "text": JUDGING["VERDICT"]}]
        if said == "thinks":
            content.insert(0, {"type": "thinking", "thinking": "B, or is it?", "signature": "x"})
        refused = {"type": "refusal", "category": None, "explanation": "That is not for me to say."}
        usage = {"input_tokens": math.ceil(len(text) / 4), "output_tokens": 5}
        if said == "remembered":
            usage |= {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 10}
        return {
            "id": "msg_x",
            "type": "message",
            "role": "assistant",
            "model": "impostor" if said == "impostor" else self.server.model,
            "content": [] if said == "refusal" else content,
            "stop_reason": {"cut": "max_tokens", "refusal": "refusal"}.get(said, "end_turn"),
            "stop_details": refused if said == "refusal" else None,
            "stop_sequence": None,
            "usage": None if said == "uncounted" else usage,
        }

    def refuse(self, status, message, **headers):
        kind = KINDS.get(status, "api_error")
        self.send(status, {"type": "error", "error": {"type": kind, "message": message}}, **headers)


@pytest.fixture(scope="module")
def messages():
    with JUDGING["running"](Messaging) as serving:
        yield serving
