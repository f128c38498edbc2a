"""Judges in providers' batches: sent once, waited for, and read as if they had been asked one by one."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from rewardkit.errors import JobFailed, ModelError
from rewardkit.judge import provider_batches
from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Request
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

provider = runpy.run_path(str(Path(__file__).parents[1] / "batches.py"))["provider"]
PRICES = {"price_in": 1000.0, "price_out": 2000.0}
PROTOCOLS = {"openai": "pairwise.v1", "anthropic": "pairwise-text.v1"}


@pytest.fixture
def backend(provider):
    def build(cache=None, **how):
        how = {"url": provider.base, "key_variable": None, "batch": True, "batch_seconds": 0.01, "attempts": 3, **how}
        config = JudgeConfig(backend=provider.provider, model="m", server=how, max_tokens=200)
        return open_backend(config, AnswerCache() if cache is None else cache)

    return build


def ask(said):
    return Request("You judge.", f"Which? {said}", "", (), reply_tokens=30)


def test_what_is_asked_together_is_one_batch_for_half_the_price(backend, provider, capsys):
    found = backend(**PRICES).complete([ask(f"well-{n}") for n in range(30)])
    assert [list(map(len, provider.batches.values())), len(provider.asked)] == [[30], 30]
    assert {each.reply for each in found} == {"The answer is A."} and {each.attempts for each in found} == {1}
    one = found[0]
    assert one.cost == pytest.approx(0.5 * (one.tokens * 1000 + one.reply_tokens * 2000) / 1e6)
    said = capsys.readouterr().err
    assert "judge: batch batch_1: 30 requests sent" in said and "judge: batch batch_1: 30 of 30 done" in said


def test_labels_come_through_batches_too(backend, provider):
    if provider.provider == "anthropic":
        with pytest.raises(ModelError, match="tells no probabilities"):
            backend().complete([Request("", "Which? well", "", ("A", "B"))])
        return
    (found,) = backend().complete([Request("", "Which? well", "", ("A", "B"))])
    assert set(found.logprobs) == {"A", "B"} and provider.asked[0][2]["top_logprobs"] == 20


def test_what_fails_in_a_batch_is_named_and_what_may_go_better_is_sent_again(backend, provider):
    words = ["well", "late", "lost", "dead", "long", "cut", "word " * 400]
    well, late, lost, dead, long, cut, huge = backend(**PRICES).complete([ask(said) for said in words])
    assert not any(each.failure for each in (well, late, lost))
    assert (late.attempts, lost.attempts, dead.attempts, long.attempts) == (2, 2, 3, 1)
    assert dead.failure == "HTTP 500: something is broken (3 attempts)" and dead.cost == 0.0
    assert long.failure == "HTTP 400: maximum context length is 8 tokens"
    assert cut.failure == "the reply was cut off at 30 tokens" and cut.cost > 0
    assert "longer than max_tokens" in huge.failure
    # First all but the one that is too long, then what may go better, then what still may.
    assert list(map(len, provider.batches.values())) == [6, 3, 1]


def test_the_same_question_is_asked_once_in_a_batch(backend, provider):
    one, other = backend(**PRICES).complete([ask("well"), ask("well")])
    assert one.reply == other.reply and len(provider.asked) == 1 and one.cost > other.cost == 0.0


def test_what_was_answered_before_is_in_no_batch(backend, provider):
    cache = AnswerCache()
    backend(cache).complete([ask("well")])
    found = backend(cache, **PRICES).complete([ask("well"), ask("good")])
    assert list(map(len, provider.batches.values())) == [1, 1] and found[0].cost == 0.0 and cache.hits == 1


def test_each_round_of_a_talk_is_a_batch(backend, provider):
    read, answered = [], 0

    def talks():
        nonlocal answered
        for number in range(5):
            yield ask(f"first-{number}")
        for number in range(5):
            while answered <= number:
                yield None
            yield ask(f"second-{number}").then("The answer is A.", f"Sure? second-{number}")

    for number, found in backend().stream(talks()):
        answered += 1
        read.append((number, found.failure))
    assert sorted(read) == [(number, "") for number in range(10)]
    sizes = list(map(len, provider.batches.values()))
    assert sizes[0] == 5 and sum(sizes) == 10


def test_many_requests_are_several_batches(backend, provider, monkeypatch):
    monkeypatch.setattr(provider_batches, "MOST_REQUESTS", 4)
    found = backend().complete([ask(f"well-{n}") for n in range(30)])
    assert len(found) == 30 and not any(each.failure for each in found)
    assert sorted(map(len, provider.batches.values())) == [2, *[4] * 7]


def test_a_provider_that_is_busy_is_asked_again_and_one_that_leaves_it_open_is_not(backend, provider):
    provider.refusals = [429, 429]
    (found,) = backend().complete([ask("well")])
    assert not found.failure and len(provider.batches) == 1
    provider.refusals = [500] if provider.provider == "anthropic" else []
    if provider.refusals:
        with pytest.raises(JobFailed, match="did not say whether it took the batch"):
            backend().complete([ask("good")])
    provider.refusals = [429] * 10
    with pytest.raises(JobFailed, match="cannot be reached") as raised:
        backend().complete([ask("good")])
    assert "not sent twice" in raised.value.fix and len(provider.batches) == 1


def test_a_batch_that_is_refused_as_a_whole_ends_the_job(backend, provider):
    if provider.provider == "openai":
        provider.failing = "line 1 is no request"
    else:
        provider.refusals = [400]
    cache = AnswerCache()
    with pytest.raises(ModelError, match="the provider refuses the batch: (line 1 is no request|not now)"):
        backend(cache).complete([ask("well")])
    # What was wrong is mended: nobody waits for the batch that will never be.
    provider.failing = ""
    (found,) = backend(cache).complete([ask("well")])
    assert not found.failure and len(provider.batches) == (2 if provider.provider == "openai" else 1)


CROWDED = "Enqueued token limit reached for m. Please try again once some in_progress batches have been completed."


# Anthropic bounds no tokens in batches, and tells no probabilities.
openais = pytest.mark.parametrize("provider", ["openai"], indirect=True)


@pytest.fixture
def crowded(provider, monkeypatch):
    """Return what gives the provider room for so many requests that are under way, and how long batches take."""
    shown = provider.RequestHandlerClass.shown
    refused, ended = set(), set()

    def limited(self, name, done):
        sizes = {each: len(rows) for each, rows in provider.batches.items() if each not in refused | ended}
        if done < sizes.get(name, 0) and sum(sizes.values()) > provider.space:
            refused.add(name)
        if name not in refused and done >= len(provider.batches[name]):
            ended.add(name)
        provider.failing = CROWDED if name in refused else ""
        return shown(self, name, done)

    monkeypatch.setattr(provider.RequestHandlerClass, "shown", limited)
    return refused


@openais
def test_what_the_provider_has_no_room_for_waits_and_is_sent_again(backend, provider, crowded, capsys, monkeypatch):
    provider.space = 4
    monkeypatch.setattr(provider_batches, "MOST_REQUESTS", 3)
    cache = AnswerCache()
    found = backend(cache).complete([ask(f"well-{n}") for n in range(6)])
    assert [(each.failure, each.attempts) for each in found] == [("", 1)] * 6
    # The second did not fit beside the first, and is sent again as it was, not in pieces.
    assert len(crowded) >= 1 and set(map(len, provider.batches.values())) == {3}
    said = capsys.readouterr().err
    assert f"batch_2: no room for it ({CROWDED}); sent again in 0.01 seconds" in said
    if len(crowded) > 1:
        assert "sent again in 0.02 seconds" in said


@openais
def test_a_batch_that_is_larger_than_all_the_room_is_halved(backend, provider, crowded):
    provider.space = 3
    found = backend(attempts=8).complete([ask(f"well-{n}") for n in range(10)])
    assert not any(each.failure for each in found)
    good = [len(rows) for name, rows in provider.batches.items() if name not in crowded]
    assert sum(good) == 10 and max(good) <= 3


@openais
def test_whoever_waited_in_vain_for_room_can_run_again(backend, provider, crowded):
    provider.space, cache = 0, AnswerCache()
    with pytest.raises(JobFailed, match="has no room for the batch: Enqueued token limit"):
        backend(cache).complete([ask("well")])
    assert len(provider.batches) == 4
    provider.space = 10
    (found,) = backend(cache).complete([ask("well")])
    assert not found.failure and len(provider.batches) == 5


def test_whoever_comes_back_waits_for_what_was_sent(backend, provider, tmp_path, monkeypatch):
    provider.looks = 10**6
    stream = backend(AnswerCache(tmp_path / "c.db")).stream([ask(f"well-{n}") for n in range(4)])

    class Killed(BaseException):
        pass

    async def killed(_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(provider_batches.Batches, "ended", killed)
        next(stream)
    provider.looks = 1
    # Fewer of them, and some that are new: only these are sent.
    found = backend(AnswerCache(tmp_path / "c.db")).complete([ask("well-2"), ask("new"), ask("well-0")])
    assert not any(each.failure for each in found) and list(map(len, provider.batches.values())) == [4, 1]
    # The others are still there to be asked about, and are not sent again either.
    found = backend(AnswerCache(tmp_path / "c.db")).complete([ask("well-1"), ask("well-3")])
    assert not any(each.failure for each in found) and len(provider.batches) == 2


def test_a_batch_that_the_provider_has_forgotten_is_sent_again(backend, provider):
    cache, asked = AnswerCache(), backend()
    asked.cache = cache
    key = asked._terms().key_of(ask("well"))
    cache.sent("batch_gone", [key])
    (found,) = asked.complete([ask("well")])
    assert not found.failure and found.attempts == 2 and len(provider.batches) == 1 and cache.batch_of(key) is None


def test_one_row_that_concerns_all_loses_none_of_the_answers(backend, provider):
    cache, asked = AnswerCache(), [ask("well"), ask("key"), ask("good")]
    with pytest.raises(ModelError, match="HTTP 401: no such key"):
        backend(cache).complete(asked)
    kept = [cache.holds(key) for key, _ in provider.batches["batch_1"]]
    assert kept == [True, False, True]
    # The cause is removed: only what has no answer is asked again.
    provider.mended = True
    found = backend(cache).complete(asked)
    assert not any(each.failure for each in found) and list(map(len, provider.batches.values())) == [3, 1]


@openais
def test_an_answer_that_no_judge_of_the_model_can_give_loses_none_of_the_others(backend, provider):
    cache = AnswerCache()
    with pytest.raises(ModelError, match="no log-probabilities"):
        backend(cache).complete([Request("", "Which? silent", "", ("A", "B")), ask("well")])
    assert [cache.holds(key) for key, _ in provider.batches["batch_1"]] == [False, True]


def test_what_is_forbidden_in_a_batch_is_that_items_failure(backend, provider):
    forbidden, well = backend(**PRICES).complete([ask("forbidden"), ask("well")])
    assert not well.failure and forbidden.failure == "HTTP 403: this is not allowed" and forbidden.attempts == 1
    # Where all others are known already, it is alone.
    (forbidden,) = backend().complete([ask("forbidden")])
    assert forbidden.failure and len(provider.batches) == 2


def test_batches_need_the_cache():
    with pytest.raises(ValidationError, match=r"server.batch needs the cache"):
        JudgeConfig(backend="openai", cache=False, server={"batch": True})


@pytest.fixture
def workspace(provider, tmp_path):
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(25):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It rained.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    where = {"url": provider.base, "key_variable": None, "batch": True, "batch_seconds": 0.05, **PRICES}
    section = {"backend": provider.provider, "model": "m", "rubric": "joke", "server": where, "max_failure_rate": 1.0}
    section |= {"protocol": PROTOCOLS[provider.provider], "max_cost": 1000.0}
    (tmp_path / "judge.yaml").write_text(json.dumps({"name": "j", "workspace": str(tmp_path), "judge": section}))
    return tmp_path


def start(folder):
    words = [sys.executable, "-m", "rewardkit", "judge", str(folder / "judge.yaml"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_a_job_that_is_killed_while_the_provider_works_sends_nothing_twice(provider, workspace):
    provider.looks = 10**6
    for _ in range(2):
        process = start(workspace)
        looked = sum(provider.looked.values())
        while sum(provider.looked.values()) < looked + 3:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    provider.looks = 1
    process = start(workspace)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert list(map(len, provider.batches.values())) == [50] and len(provider.asked) == 50
    with Store.open(workspace / "rewardkit.db") as store:
        labels = list(store.labels())
    assert len(labels) == 50 and all(label.cost > 0 for label in labels)
    assert {label.status for label in labels} == {"ok" if provider.provider == "openai" else "failed"}
