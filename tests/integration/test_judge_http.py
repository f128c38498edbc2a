"""Judges behind a server that speaks OpenAI's chat completions: one that misbehaves on purpose, and a real one."""

from __future__ import annotations

import gc
import json
import math
import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.errors import ConfigError, ModelError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Request
from rewardkit.judge.distributions import distribution
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

JUDGING = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))
server = JUDGING["server"]
KEY = "a key that only the environment knows"


@pytest.fixture
def backend(server, monkeypatch):
    server.reset()
    monkeypatch.setenv("JUDGE_KEY", KEY)

    def build(**how):
        how = {"url": server.url, "key_variable": "JUDGE_KEY", "seconds": 1.0, "attempts": 4, **how}
        return open_backend(JudgeConfig(backend="openai", model="m", server=how))

    return build


def ask(said, **fields):
    return Request("You judge.", f"Which? {said}", "", ("A", "B"), **fields)


def test_labels_are_read_whatever_space_is_before_them(backend, server):
    (found,) = backend().complete([ask("well")])
    assert {label: math.exp(value) for label, value in found.logprobs.items()} == pytest.approx({"A": 0.7, "B": 0.2})
    assert (found.tokens, found.reply_tokens, found.attempts, found.failure) == (6, 1, 1, "") and found.seconds > 0
    ((_, key, body),) = server.asked
    assert key == f"Bearer {KEY}" and (body["top_logprobs"], body["max_tokens"], body["temperature"]) == (20, 1, 0)
    assert body["messages"][0] == {"role": "system", "content": "You judge."}


def test_a_reply_in_words_asks_for_no_probabilities(backend, server):
    (found,) = backend(temperature=0.5).complete([Request("", "Which? well", "", (), reply_tokens=30)])
    assert found.reply == "The answer is A." and not found.logprobs
    body = server.asked[0][2]
    assert "logprobs" not in body and (body["max_tokens"], body["temperature"]) == (30, 0.5)
    # Neither a system message nor a nucleus where there is none.
    assert [message["role"] for message in body["messages"]] == ["user"] and "top_p" not in body


def test_a_drawn_reply_says_how_it_is_drawn(backend, server):
    backend().complete([Request("", "Which? well", "", (), reply_tokens=30, temperature=0.7, top_p=0.9, seed=5)])
    body = server.asked[0][2]
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.7, 0.9, 5)


def test_a_label_that_is_not_told_is_bounded_and_never_zero(backend):
    (rare, unclear) = backend().complete([ask("rare"), ask("unclear")])
    # No more than the least probable token that is told, and no more than what they leave: .01 here.
    assert math.exp(rare.bounds["B"]) == pytest.approx(0.01)
    found = distribution(rare, ("A", "B"), 0.01)
    assert found.probabilities["A"] == pytest.approx(0.97 / 0.98) and found.hidden == pytest.approx(0.01 / 0.98)
    reason = distribution(unclear, ("A", "B"), 0.01).reason
    assert reason == "labels that are not among the most probable tokens may hold up to 43%"


@pytest.mark.parametrize("said", ["busy", "ill"])
def test_what_may_go_better_is_asked_again(backend, server, said):
    (found,) = backend().complete([ask(said)])
    assert not found.failure and found.attempts == 3 and server.times[said] == 3


@pytest.mark.parametrize(
    ("said", "failure", "attempts"),
    [
        ("dead", "HTTP 500: something is broken (4 attempts)", 4),
        ("long", "HTTP 400: maximum context length is 8 tokens", 1),
        ("half", "the answer cannot be read", 4),
        ("hang", "no answer within 0.2 s (4 attempts)", 4),
        ("away", "the server cannot be reached", 4),
        ("twice", "the server gave 2 answers where one was asked for (4 attempts)", 4),
        ("none", "the server gave 0 answers where one was asked for (4 attempts)", 4),
        ("impostor", "answered by the model 'impostor', and others by 'served'", 1),
    ],
)
def test_a_request_that_fails_is_named_and_the_others_are_answered(backend, server, said, failure, attempts):
    first, found, last = backend(seconds=0.2, concurrency=1).complete([ask("well"), ask(said), ask("well")])
    assert found.failure.startswith(failure) and not found.logprobs
    assert (found.attempts, server.times[said]) == (attempts, attempts)
    assert not first.failure and first.logprobs == last.logprobs


@pytest.mark.parametrize(
    ("said", "problem"),
    [("key", "no such key"), ("echo-key", "no such key"), ("silent", "gives no log-probabilities")],
)
def test_what_concerns_all_requests_ends_the_job(backend, server, caplog, said, problem):
    with pytest.raises(ModelError, match=problem) as raised:
        backend().complete([ask(said)] * 500)
    assert KEY not in str(raised.value) and raised.value.fix
    # Nor is anything printed of the others that failed, with what the server said of the key.
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]
    # Those that were under way are given up, and no more are sent.
    assert len(server.asked) < 200


def test_answers_come_in_order_while_many_are_under_way(backend, server):
    server.reset(room=1000)
    requests = [ask("rare" if n % 5 == 0 else "ill" if n == 7 else f"well-{n}") for n in range(300)]
    found = backend(concurrency=32).complete(requests)
    assert len(found) == 300 and not any(each.failure for each in found)
    assert [number for number, each in enumerate(found) if each.bounds] == list(range(0, 300, 5))
    assert 8 < server.most <= 32


def test_a_server_with_little_room_is_asked_less(backend, server):
    server.reset(room=4)
    found = backend(concurrency=64, attempts=20).complete([ask(f"well-{n}") for n in range(400)])
    assert not any(each.failure for each in found)
    # It finds its way: without that, 60 of 64 would be refused each time.
    refused = sum(each.attempts - 1 for each in found)
    assert refused < 200


def test_what_is_allowed_a_minute_is_kept(backend, server):
    backend(requests_a_minute=600, concurrency=8).complete([ask("well")] * 605)
    begun, times = server.asked[0][0], [at for at, *_ in server.asked]
    # The allowance begins full, and fills by ten a second.
    assert sum(at - begun < 0.25 for at in times) <= 603 and times[-1] - begun > 0.3


def test_nobody_is_asked_for_what_nobody_reads_any_more(backend, server):
    stream = backend(concurrency=4).stream(ask(f"well-{n}") for n in range(10_000))
    next(stream)
    stream.close()
    after = len(server.asked)
    time.sleep(0.2)
    assert len(server.asked) == after < 200
    assert not [each for each in threading.enumerate() if each.name == "judge"]


def test_a_sign_of_another_script_is_about_a_token(backend):
    asked = backend()
    assert asked.count_tokens(Request("", "word" * 100, "", ("A",))) == 100
    assert asked.count_tokens(Request("", "雨" * 100, "", ("A",))) == 100


def test_a_key_that_is_not_there_is_said(backend, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(ConfigError, match="JUDGE_KEY is not set"):
        backend()
    assert backend(key_variable=None).complete([ask("well")])[0].logprobs


@pytest.fixture
def database(tmp_path):
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(60):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It rained.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    return tmp_path / "rewardkit.db"


def judge(folder, **how):
    """Run the verb on a workspace; return its labels."""
    config = folder / "judge.yaml"
    config.write_text(json.dumps({"name": "j", "workspace": str(folder), "judge": {"rubric": "joke", **how}}))
    words = [sys.executable, "-m", "rewardkit", "judge", str(config), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    with Store.open(folder / "rewardkit.db") as store:
        return done, list(store.labels())


def test_a_whole_job_over_http_and_nothing_is_bought_twice(server, database, tmp_path):
    server.reset()
    where = {"url": server.url, "key_variable": None, "concurrency": 8}
    done, labels = judge(tmp_path, backend="openai", model="m", server=where)
    assert done.returncode == 0, done.stderr
    assert len(labels) == len(server.asked) == 120 and {label.status for label in labels} == {"ok"}
    assert all(label.metadata["mass_outside"] == pytest.approx(0.1) and 0.1 < label.p_a < 0.9 for label in labels)
    assert {label.metadata["served"] for label in labels} == {"served"}
    # More comparisons: only these are asked about.
    with Store.open(database) as store:
        prompt = next(iter(store.prompts()))
        found = [Response.of(prompt.id, text) for text in ("Drip.", "Drop.")]
        store.add([*found, Comparison.of(prompt.id, *(each.id for each in found))])
    server.asked.clear()
    done, labels = judge(tmp_path, backend="openai", model="m", server=where)
    assert done.returncode == 0 and (len(labels), len(server.asked)) == (122, 2)


def test_a_budget_holds_and_what_was_bought_is_kept(server, database, tmp_path):
    server.reset()
    prices = {"price_in": 1000.0, "price_out": 2000.0}
    where = {"url": server.url, "key_variable": None, "concurrency": 8, **prices}
    # 120 requests of some 230 tokens each would cost about 28.
    done, labels = judge(tmp_path, backend="openai", model="m", server=where, max_cost=10.0)
    assert done.returncode != 0 and "the budget is used up" in done.stderr
    spent = sum(label.cost for label in labels)
    assert 9.0 < spent <= 10.0 and len(server.asked) == len(labels) < 60
    one = labels[0]
    tokens = math.ceil(sum(len(message["content"]) for message in server.asked[0][2]["messages"]) / 4)
    assert one.cost == pytest.approx(((one.tokens - 1) * 1000 + 2000) / 1e6) and abs(one.tokens - 1 - tokens) < 3
    # The money of the first run is spent; more of it buys the rest.
    again, labels = judge(tmp_path, backend="openai", model="m", server=where, max_cost=10.0)
    assert again.returncode != 0 and sum(label.cost for label in labels) == spent
    done, labels = judge(tmp_path, backend="openai", model="m", server=where, max_cost=100.0, warn_cost=20.0)
    assert done.returncode == 0 and len(server.asked) == len(labels) == 120
    assert "at most about" in done.stderr and "are spent (judge.warn_cost is 20.00)" in done.stderr


def test_attempts_that_a_server_has_worked_on_are_paid(backend, server):
    prices = {"price_in": 1000.0, "price_out": 0.0}
    half, busy, well = backend(**prices, concurrency=1).complete([ask("half"), ask("busy"), ask("well")])
    assert half.cost == pytest.approx(4 * 6 / 1000) and half.failure and half.paid_again == 3
    # What is refused costs nothing.
    assert busy.attempts == 3 and busy.cost == well.cost == pytest.approx(6 / 1000)
    assert backend().complete([ask("well")])[0].cost is None
    # A server that counts no tokens is not for nothing.
    uncounted = Request("You judge.", "Which? uncounted", "", (), reply_tokens=30)
    (found,) = backend(price_in=1000.0, price_out=1000.0).complete([uncounted])
    assert (found.tokens, found.reply_tokens, found.cost) == (7, 4, pytest.approx(0.011))


def test_failures_are_paid_from_the_same_budget(server, database, tmp_path):
    """However often each is tried, and however often the job is run."""
    server.reset()
    server.model = "broken"
    where = {"url": server.url, "key_variable": None, "concurrency": 8, "price_in": 1000.0, "price_out": 0.0}
    for _ in range(2):
        done, labels = judge(tmp_path, backend="openai", model="m", server=where, max_cost=5.0, max_failure_rate=1.0)
        assert done.returncode != 0 and "the budget is used up" in done.stderr
    with Store.open(database) as store:
        (judged,) = (each for each in store.annotators().values() if each.kind == "judge")
        spent = store.spent(judged.id)
    assert 4.0 < spent <= 5.0 and {label.status for label in labels} == {"failed"}
    sent = sum(len(message["content"]) for *_, body in server.asked for message in body["messages"]) / 4 / 1000
    assert sent == pytest.approx(spent, rel=0.02)


SHAPES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["A", "B", 800.0, -1.0]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["choices", "message", "content", "logprobs", "top_logprobs", "logprob", "token", "usage"]), SHAPES
)
def test_whatever_a_server_answers_is_an_answer_or_a_named_failure(backend, server, where, what):
    server.odd = (where, what)
    try:
        found = backend(attempts=1).complete([ask("odd"), Request("", "Which? odd", "", (), reply_tokens=3)])
    except ModelError as error:
        # No log-probabilities at all concern the whole job.
        assert "gives no log-probabilities" in str(error)
        return
    for each in found:
        assert each.failure or isinstance(each.reply, str)
        assert all(math.isfinite(value) and value <= 1e-3 for value in each.logprobs.values())


def test_a_reply_that_was_cut_off_is_no_reply(backend):
    (found,) = backend().complete([Request("", "Which? cut", "", (), reply_tokens=3)])
    assert found.failure == "the reply was cut off at 3 tokens" and not found.reply


def test_a_server_that_drips_is_too_late_all_the_same(backend):
    begun = time.monotonic()
    (found,) = backend(seconds=0.3, attempts=1).complete([ask("drip")])
    assert found.failure == "no answer within 0.3 s" and time.monotonic() - begun < 2


def test_no_message_tells_the_key(backend, server, monkeypatch):
    with pytest.raises(ModelError) as raised:
        backend().complete([ask("echo-key")])
    assert KEY not in str(raised.value) and "…" in str(raised.value)
    monkeypatch.setenv("JUDGE_KEY", "sk-two\nlines")
    with pytest.raises(ConfigError, match="holds a sign that no key has") as refused:
        backend()
    assert "two" not in str(refused.value)


SCHEMA = {"type": "object", "properties": {"verdict": {"enum": ["A", "B"]}}, "required": ["verdict"]}


def test_a_schema_is_sent_and_is_strict(backend, server):
    asked = Request("", "Which? well", "", (), reply_tokens=30, schema=json.dumps(SCHEMA))
    (found,) = backend().complete([asked])
    assert json.loads(found.reply) == {"verdict": "A"}
    sent = server.asked[0][2]["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}


def test_a_server_that_follows_no_schema_ends_the_job_and_is_not_asked_without_one(backend, server):
    asked = Request("", "Which? schemaless", "", (), reply_tokens=30, schema=json.dumps(SCHEMA))
    with pytest.raises(ModelError, match="json_schema' is not supported") as raised:
        backend().complete([asked])
    assert "no JSON schema" in raised.value.fix and server.times["schemaless"] == 1
    # The same words without a schema concern that request only; so does a refusal of another kind with one.
    words = Request("", "Which? schemaless", "", (), reply_tokens=30)
    long = Request("", "Which? long", "", (), reply_tokens=30, schema=json.dumps(SCHEMA))
    assert [each.failure[:8] for each in backend().complete([words, long])] == ["HTTP 400"] * 2


def test_a_model_that_takes_no_temperature_is_told_none(backend, server):
    asked = Request("", "Which? cold", "", (), reply_tokens=30)
    with pytest.raises(ModelError, match="temperature") as raised:
        backend().complete([asked])
    assert "judge.server.temperature: null" in raised.value.fix
    backend(temperature=None).complete([Request("", "Which? well", "", (), reply_tokens=30)])
    assert "temperature" not in server.asked[-1][2]


def test_a_judge_that_refuses_is_a_named_failure(backend, server):
    (found,) = backend().complete([Request("", "Which? refusal", "", (), reply_tokens=30)])
    assert found.failure == "the judge refuses: That is not for me to say." and server.times["refusal"] == 1


@pytest.mark.slow
def test_transformers_own_server_gives_words_and_no_probabilities(serving, database, tmp_path):
    url, name = serving
    where = {"url": url, "key_variable": None, "concurrency": 1}
    common = {"backend": "openai", "model": name, "limit": 1, "max_failure_rate": 1.0}
    done, labels = judge(tmp_path, **common, server=where)
    # It is said, and not made up for by words in their place.
    assert done.returncode == 2 and "gives no log-probabilities" in done.stderr and not labels
    done, labels = judge(tmp_path, **common, server=where, protocol="pairwise-text.v1", orders=["ab"])
    assert done.returncode == 0, done.stderr
    assert len(labels) == 1 and all(label.tokens > 0 for label in labels)
    # A model so small seldom ends as it is asked to: then it is a failure with its name, and never a guess.
    assert all(label.rationale if label.status == "ok" else label.reason for label in labels)
