"""Judges behind Anthropic's messages: the official package against a server that misbehaves on purpose."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from rewardkit.errors import ConfigError, ModelError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Request
from rewardkit.judge.judges import open_judges
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

server = runpy.run_path(str(Path(__file__).parents[1] / "messages.py"))["messages"]
KEY = "a key that only the environment knows"
SCHEMA = {"type": "object", "properties": {"verdict": {"enum": ["A", "B"]}}, "required": ["verdict"]}


@pytest.fixture
def where(server):
    server.reset()
    return server.url.removesuffix("/v1")


@pytest.fixture
def backend(where, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def build(cache=None, **how):
        how = {"url": where, "seconds": 1.0, "attempts": 4, **how}
        return open_backend(JudgeConfig(backend="anthropic", model="m", server=how), cache)

    return build


def ask(said, **fields):
    return Request("You judge.", f"Which? {said}", "", (), reply_tokens=30, **fields)


def test_a_reply_and_what_it_took(backend, server):
    (found,) = backend(price_in=1000.0, price_out=10000.0).complete([ask("well")])
    assert (found.reply, found.served, found.attempts, found.failure) == ("The answer is A.", "served", 1, "")
    assert (found.tokens, found.reply_tokens, found.cost) == (6, 5, pytest.approx(0.006 + 0.05))
    ((_, key, body),) = server.asked
    assert (
        key in (KEY, f"Bearer {KEY}")
        and body["system"] == "You judge."
        and body["messages"] == [{"role": "user", "content": "Which? well"}]
    )
    assert body["max_tokens"] == 30 and "temperature" not in body


def test_a_conversation_and_a_temperature_are_sent(backend, server):
    request = ask("well", turns=(("Sure.", "And well"),), temperature=0.5, seed=3)
    (found,) = backend().complete([request])
    body = server.asked[0][2]
    assert not found.failure and [each["role"] for each in body["messages"]] == ["user", "assistant", "user"]
    assert body["temperature"] == 0.5 and "seed" not in body
    backend(temperature=0.25).complete([ask("well")])
    assert server.asked[1][2]["temperature"] == 0.25


def test_votes_of_different_seeds_are_kept_apart(backend, server):
    cache, votes = AnswerCache(), [ask("well", temperature=0.7, seed=seed) for seed in (1, 2)]
    for _ in range(2):
        backend(cache).complete(votes)
    assert len(server.asked) == 2 and cache.hits == 2


def test_a_schema_is_sent_and_followed_or_ends_the_job(backend, server):
    (found,) = backend().complete([ask("well", schema=json.dumps(SCHEMA))])
    assert json.loads(found.reply) == {"verdict": "A"}
    assert server.asked[0][2]["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    with pytest.raises(ModelError, match="is not supported") as raised:
        backend().complete([ask("schemaless", schema=json.dumps(SCHEMA))])
    assert "no JSON schema" in raised.value.fix
    with pytest.raises(ModelError) as raised:
        backend(temperature=0.0).complete([ask("cold")])
    assert "judge.server.temperature: null" in raised.value.fix


def test_thoughts_are_no_reply_and_remembered_tokens_count(backend):
    thinks, remembered, uncounted = backend().complete([ask("thinks"), ask("remembered"), ask("uncounted")])
    assert thinks.reply == "The answer is A."
    assert remembered.tokens == ask("remembered").texts[1].__len__() // 4 + 110 + 3
    assert uncounted.tokens > 0 and uncounted.reply_tokens == 4


@pytest.mark.parametrize("said", ["busy", "ill"])
def test_what_may_go_better_is_asked_again(backend, server, said):
    (found,) = backend().complete([ask(said)])
    assert not found.failure and found.attempts == 3 and server.times[said] == 3


@pytest.mark.parametrize(
    ("said", "failure", "attempts"),
    [
        ("dead", "HTTP 500: something is broken (2 attempts)", 2),
        ("full", "HTTP 529: Overloaded (2 attempts)", 2),
        ("long", "HTTP 400: maximum context length is 8 tokens", 1),
        ("half", "the answer cannot be read", 2),
        ("hang", "no answer within 0.2 s (2 attempts)", 2),
        ("away", "the server cannot be reached", 2),
        ("impostor", "answered by the model 'impostor', and others by 'served'", 1),
        ("cut", "the reply was cut off at 30 tokens", 1),
        ("refusal", "the judge refuses: That is not for me to say.", 1),
    ],
)
def test_a_request_that_fails_is_named_and_the_others_are_answered(backend, server, said, failure, attempts):
    first, found, last = backend(seconds=0.2, concurrency=1, attempts=2).complete([ask("well"), ask(said), ask("well")])
    assert found.failure.startswith(failure) and not found.reply
    assert (found.attempts, server.times[said]) == (attempts, attempts)
    assert not first.failure and first.reply == last.reply


def test_a_reply_that_may_be_cut_is_one(backend):
    (found,) = backend().complete([ask("cut", cut=True)])
    assert found.was_cut and found.reply == "The answer is A." and not found.failure


def test_what_concerns_all_requests_ends_the_job_and_tells_no_key(backend, server):
    with pytest.raises(ModelError, match="no such key") as raised:
        backend().complete([ask("key")] * 300)
    assert KEY not in str(raised.value) and len(server.asked) < 200
    with pytest.raises(ModelError, match="tells no probabilities"):
        backend().complete([Request("", "Which? well", "", ("A", "B"))])


def test_protocols_that_need_probabilities_are_refused_before_anything_is_sent(backend, server):
    with pytest.raises(ConfigError, match="gives no probabilities of labels"):
        open_judges(JudgeConfig(backend="anthropic", model="m", rubric="joke", protocol="pairwise.v1"))
    assert not server.asked


def test_the_provider_is_known_unless_the_config_says_otherwise(monkeypatch):
    config = JudgeConfig(backend="anthropic", server={"concurrency": 3})
    assert (config.server.url, config.server.key_variable) == ("https://api.anthropic.com", "ANTHROPIC_API_KEY")
    assert config.server.temperature is None and config.server.concurrency == 3
    other = JudgeConfig(backend="anthropic", server={"url": "http://127.0.0.1:1", "key_variable": None})
    assert (other.server.url, other.server.key_variable) == ("http://127.0.0.1:1", None)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
        open_backend(config)


def test_a_whole_job_and_nothing_is_bought_twice(where, server, rewardkit, tmp_path):
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(20):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It rained.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    how = {"url": where, "key_variable": None, "concurrency": 4, "price_in": 1000.0, "price_out": 1000.0}
    section = {"backend": "anthropic", "model": "m", "rubric": "joke", "protocol": "pairwise-text.v1", "server": how}
    path = tmp_path / "judge.yaml"
    # This judge's words hold no verdict in the form that is asked for: a failure with its name, and paid.
    section |= {"max_failure_rate": 1.0, "max_cost": 1000.0}
    path.write_text(json.dumps({"name": "j", "workspace": str(tmp_path), "judge": section}))
    ended = rewardkit("judge", path, "--json")
    assert ended.code == 0, ended.err
    with Store.open(tmp_path / "rewardkit.db") as store:
        labels = list(store.labels())
    assert len(labels) == len(server.asked) == 40
    assert {(label.status, label.reason) for label in labels} == {("failed", "no verdict in the reply")}
    assert all(label.cost > 0 for label in labels)
