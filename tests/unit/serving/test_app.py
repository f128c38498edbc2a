"""What the server answers, over real HTTP; rewards are lengths."""

from __future__ import annotations

import base64
import json
import math
import runpy
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rewardkit.calibration.calibrators import Calibration
from rewardkit.calibration.likeness import Familiar
from rewardkit.reward_model.whole_texts import MOST_MESSAGES
from rewardkit.serving.wire import MOST_TEXTS

SERVED = runpy.run_path(str(Path(__file__).parents[2] / "served.py"))
MOST_BYTES = 400_000
PATHS = {
    "/v1/rewards": {"items": []},
    "/get_reward": {"query": []},
    "/classify": {"input": []},
    "/pooling": {"input": []},
}


@pytest.fixture(scope="module")
def calibration():
    return Calibration(
        method="temperature",
        params={"temperature": 2.0},
        n=120,
        n_units=60,
        log_temperature_low=0.0,
        log_temperature_high=1.0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        comparisons_digest="0",
    )


@pytest.fixture(scope="module")
def served(calibration):
    with SERVED["serving"](SERVED["ByHand"](calibration=calibration), most_bytes=MOST_BYTES) as (server, address):
        yield server, address


@pytest.fixture(scope="module")
def http(served):
    with SERVED["client"](served[1]) as client:
        yield client


def ask(http, path, status=200, **fields):
    answer = http.post(path, json=fields)
    assert answer.status_code == status, answer.text
    return answer.json()


def message(answer):
    assert set(answer) == {"error"} and set(answer["error"]) == {"message", "type", "code"}
    assert "Traceback" not in answer["error"]["message"]
    return answer["error"]["message"]


def test_two_responses_and_which_people_prefer(http):
    # A margin of 2 at a temperature of 2 is a logit of 1; the interval of log T gives logits of 2/e and 2.
    found = ask(http, "/v1/rewards", prompt="Which?", responses=["four", "of"])["comparison"]
    assert found.pop("disagreement") is None
    assert found == pytest.approx({"p_a": 0.731059, "low": 0.676068, "high": 0.880797, "n": 120}, abs=1e-6)


def test_one_three_or_half_a_comparison_is_none(http):
    for responses in (["four"], ["a", "b", "c"], ["four", "?"]):
        assert ask(http, "/v1/rewards", responses=responses)["comparison"] is None
    items = [{"prompt": "a", "response": "four"}, {"prompt": "b", "response": "of"}]
    assert ask(http, "/v1/rewards", items=items)["comparison"] is None


def test_a_failed_text_is_data(http):
    found = ask(
        http, "/v1/rewards", items=[{"response": "why?"}, {"prompt": "p", "response": "ab…"}, {"response": "~"}]
    )
    assert found == {
        "schema_version": 1,
        "model": "by-hand",
        "rewards": [None, 3.0, None],
        "truncated": [False, True, False],
        "reasons": ["it asks", None, "the model gives it no finite reward"],
        "spread": None,
        "noise": None,
        "criteria": None,
        "unlike": None,
        "comparison": None,
        "tokens": 6,
    }


class Pair(SERVED["ByHand"]):
    """Two members, of which the second rewards every text by 1, and a criterion that is always met by half."""

    def __init__(self, calibration):
        super().__init__(calibration=calibration)
        self.about = replace(self.about, members=2, criteria=("wit",), variance_head=True)

    def read(self, sequences):
        return [
            replace(each, members=(*each.members, 1.0), criteria=(0.5,), noise=0.25) for each in super().read(sequences)
        ]


def test_an_ensemble_tells_how_far_its_members_are_apart(calibration):
    texts = Familiar.of([((), "of"), ((), "three")], ["u", "v"])
    with (
        SERVED["serving"](Pair(calibration.model_copy(update={"texts": texts}))) as (_, address),
        SERVED["client"](address) as http,
    ):
        found = ask(http, "/v1/rewards", responses=["four", "of"])
        # Rewards of 4 and 1, and of 2 and 1: margins of 2 and 0.
        assert found["rewards"] == [2.5, 1.5] and found["criteria"] == [{"wit": 0.5}, {"wit": 0.5}]
        assert found["noise"] == [0.25, 0.25]
        assert found["spread"] == pytest.approx([4.5**0.5, 0.5**0.5])
        assert found["comparison"]["disagreement"] == pytest.approx(2**0.5)
        assert "response: other words" in found["unlike"][0] and found["unlike"][1] == []
        assert ask(http, "/v1/rewards", items=[{"response": "?"}])["spread"] == [None]
        told = http.get("/v1/model").json()
        assert (told["members"], told["criteria"], told["variance_head"]) == (2, ["wit"], True)


def test_openrlhf_reads_what_it_looks_for(http):
    asked = {"query": ["abc", "de"], "prompts": ["a", "d"], "labels": ["x", None]}
    expected = {"rewards": [3.0, 2.0], "scores": [1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-2))], "extra_logs": {}}
    assert ask(http, "/get_reward", **asked) == expected
    # As its versions before labels did.
    assert ask(http, "/get_reward", query=["abc", "de"]) == expected
    assert ask(http, "/get_reward", query=[], prompts=[], labels=[]) == {"rewards": [], "scores": [], "extra_logs": {}}
    assert "2 prompts for 1 texts" in message(ask(http, "/get_reward", 422, query=["a"], prompts=["a", "b"]))
    assert "text 1 has no reward (and 1 others): it asks" in message(
        ask(http, "/get_reward", 422, query=["a", "?", "?"])
    )


@pytest.mark.parametrize(
    ("told", "value"),
    [({}, 2.0), ({"use_activation": False}, 2.0), ({"use_activation": True}, 1 / (1 + math.exp(-2)))],
    ids=["absent", "false", "true"],
)
def test_vllm_shapes_and_its_activation(http, told, value):
    usage = {"prompt_tokens": 2, "total_tokens": 2, "completion_tokens": 0, "prompt_tokens_details": None}
    found = ask(http, "/classify", input=["ab"], model="by-hand", **told)
    assert found.pop("id").startswith("classify-") and isinstance(found.pop("created"), int)
    data = [{"index": 0, "label": "LABEL_0", "probs": [pytest.approx(value)], "num_classes": 1}]
    assert found == {"object": "list", "model": "by-hand", "data": data, "usage": usage}
    found = ask(http, "/pooling", input="ab", **told)
    assert found["data"] == [{"index": 0, "object": "pooling", "data": [pytest.approx(value)]}]
    assert found["usage"] == usage


@pytest.mark.parametrize("name", ["activation", "softmax"])
def test_older_names_of_the_activation(http, name):
    assert ask(http, "/classify", input="", **{name: True})["data"][0]["probs"] == [0.5]


def test_vllm_takes_messages(http):
    messages = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "four"}]
    assert ask(http, "/classify", messages=messages)["data"][0]["probs"] == [4.0]
    assert "nothing to reward" in message(ask(http, "/pooling", 422, messages=messages[:1]))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_asked_is_nothing_answered(http, path):
    found = ask(http, path, **PATHS[path])
    assert found.get("data", found.get("rewards")) == []


BAD = [
    ("/v1/rewards", {}, 422, "either prompt and responses, or items"),
    ("/v1/rewards", {"responses": [], "items": []}, 422, "either prompt and responses, or items"),
    ("/v1/rewards", {"prompt": "x", "items": []}, 422, "each item has its own"),
    ("/v1/rewards", {"responses": [3]}, 422, "responses.0: "),
    ("/v1/rewards", {"responses": "text"}, 422, "responses: "),
    ("/v1/rewards", {"responses": [], "prompt": [{"role": "robot", "content": ""}]}, 422, "prompt.0.role: "),
    ("/v1/rewards", {"responses": [], "reward": 1}, 422, "reward: Extra inputs"),
    ("/v1/rewards", {"responses": ["a"] * (MOST_TEXTS + 1)}, 422, f"at most {MOST_TEXTS} items"),
    ("/v1/rewards", {"responses": [], "model": "other"}, 404, "this is 'by-hand'"),
    (
        "/v1/rewards",
        {"responses": [], "prompt": [{"role": "user", "content": ""}] * (MOST_MESSAGES + 1)},
        422,
        f"at most {MOST_MESSAGES} items",
    ),
    ("/get_reward", {}, 422, "query: Field required"),
    ("/get_reward", {"query": [None]}, 422, "query.0: "),
    ("/get_reward", {"query": {"a": 1}}, 422, "query: "),
    ("/classify", {}, 422, "either input"),
    ("/classify", {"input": [[1, 2]]}, 422, "input"),
    ("/classify", {"input": ["a"] * (MOST_TEXTS + 1)}, 422, f"expected {MOST_TEXTS} at most"),
    ("/pooling", {"input": "a", "truncate_prompt_tokens": 5}, 422, "truncate_prompt_tokens is not supported"),
    ("/classify", {"input": "a", "add_generation_prompt": True}, 422, "add_generation_prompt is not supported"),
    ("/pooling", {"input": "a", "task": "token_classify"}, 422, "task"),
    ("/pooling", {"input": "a", "encoding_format": "base64"}, 422, "encoding_format: "),
    ("/pooling", {"input": "a", "model": "other"}, 404, "there is no model 'other'"),
    ("/pooling", [], 422, ""),
    ("/v1/nothing", {}, 404, "Not Found"),
]


@pytest.mark.parametrize(("path", "body", "status", "says"), BAD)
def test_a_wrong_request_is_told_what_is_wrong(http, path, body, status, says):
    answer = http.post(path, json=body)
    assert answer.status_code == status and says in message(answer.json()), answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"responses": ["\\ud800"]}',
        b"[" * 100_000,
        b'{"responses": [' + b"[" * 50_000,
        b'{"responses": ["\xed\xa0\x80"]}',
        b"nothing of JSON",
    ],
    ids=["empty", "open", "bytes", "surrogate", "deep", "deeper", "encoded-surrogate", "words"],
)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_json_is_refused(http, path, body):
    answer = http.post(path, content=body)
    assert answer.status_code == 400 and "JSON" in message(answer.json()), answer.text


@pytest.mark.parametrize(
    "text", ["\x00", "\u202e", "\ufeff", "👩‍👩‍👧", "a\r\n\r\nHTTP/1.1 200 OK", "{{ 7*7 }}", "<|e|>" * 9]
)
def test_odd_texts_are_texts(http, text):
    assert ask(http, "/v1/rewards", responses=[text])["rewards"] == [len(text)]


def test_a_large_request_is_refused_told_of_or_not(http):
    assert ask(http, "/v1/rewards", 413, responses=["x" * MOST_BYTES])["error"]["code"] == 413

    def parts():
        yield from (b" " * 50_000 for _ in range(200))

    answer = http.post("/v1/rewards", content=parts())
    assert answer.status_code == 413 and f"{MOST_BYTES:,} bytes" in message(answer.json())
    assert answer.headers["connection"] == "close"


def test_more_tokens_than_may_ever_wait(http):
    assert "send fewer texts" in message(ask(http, "/v1/rewards", 413, responses=["x" * 6000] * 2))


def test_another_method_is_refused(http):
    assert http.get("/v1/rewards").status_code == 405
    assert http.post("/health").status_code == 405


def test_what_it_says_of_its_model(http):
    calibration = {"method": "temperature", "n": 120, "n_units": 60, "confidence": 0.95}
    found = http.get("/v1/model").json()
    assert found["calibration"] == {**calibration, "created_at": "2026-01-01T00:00:00Z"}
    assert (found["model"], found["base"], found["max_length"]) == ("by-hand", "none@0", 1024)


def test_figures(http):
    http.post("/v1/rewards", json={"responses": ["a", "?"]})
    http.post("/no/such/path", json={})
    page = http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    figures = {}
    for line in page.text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            figures[name] = float(value)
    assert figures['rewardkit_requests_total{path="/v1/rewards",status="200"}'] >= 1
    # Strangers name no figures.
    assert figures['rewardkit_requests_total{path="other",status="404"}'] >= 1 and "no/such" not in page.text
    assert figures['rewardkit_texts_total{outcome="scored"}'] >= 1 <= figures['rewardkit_texts_total{outcome="failed"}']
    assert figures["rewardkit_waiting_tokens"] == 0 and figures["rewardkit_rejected_requests_total"] == 0
    assert figures["rewardkit_batch_tokens_count"] >= 1
    assert figures['rewardkit_request_seconds_count{path="/v1/rewards"}'] >= 1


def test_lines_that_are_no_http(served):
    for raw in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /v1/rewards HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(served[1].removeprefix("http://").split(":"), timeout=60) as raw_socket:
            raw_socket.sendall(raw)
            raw_socket.shutdown(socket.SHUT_WR)
            answer = raw_socket.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_a_bug_shows_no_traceback(http, served, monkeypatch):
    def broken(asked):
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(served[0].service.engine, "encode", broken)
    answer = http.post("/v1/rewards", json={"responses": ["a"]})
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "its log tells more" in message(answer.json())


def test_a_key_is_asked_everywhere_but_for_health():
    with SERVED["serving"](SERVED["ByHand"](), key="sésame") as (_, address), SERVED["client"](address) as http:
        asked = json.dumps({"query": ["abc"]})
        basic = base64.b64encode("any:sésame".encode()).decode()
        right = [f"{scheme} sésame".encode() for scheme in ("Bearer", "bearer")] + [f"Basic {basic}".encode()]
        wrong = [b"", b"Bearer", b"Bearer sesame", "sésame".encode(), b"Basic x", b"Basic \xff", b"Digest a"]
        for shown in wrong:
            # However much of it is still to come, the answer arrives.
            answer = http.post("/get_reward", content=asked + " " * 3_000_000, headers={"Authorization": shown})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer KEY" in message(answer.json())
        for shown in right:
            answer = http.post("/get_reward", content=asked, headers={"Authorization": shown})
            assert answer.json()["rewards"] == [3.0]
        assert [http.get(path).status_code for path in ("/health", "/metrics", "/v1/model")] == [200, 401, 401]
        assert http.get("/metrics", headers={"Authorization": right[0]}).is_success
