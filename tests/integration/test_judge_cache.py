"""Judges that never pay twice: answers that are kept, also by a process that is killed."""

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

from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache, payer
from rewardkit.judge.contract import Request
from rewardkit.judge_config import JudgeConfig
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

server = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))["server"]
ITEMS = 150


def backend(server, cache, **how):
    how = {"url": server.url, "key_variable": None, "attempts": 2, "price_in": 1000.0, "price_out": 0.0, **how}
    return open_backend(JudgeConfig(backend="openai", model="m", server=how), cache)


def ask(said, **fields):
    return Request("You judge.", f"Which? {said}", "", ("A", "B"), **fields)


def test_what_was_answered_is_not_asked_again_and_what_failed_is(server):
    server.reset()
    cache, asked = AnswerCache(), [ask("well"), ask("dead"), ask("rare")]
    first = backend(server, cache).complete(asked)
    assert [bool(each.failure) for each in first] == [False, True, False] and len(server.asked) == 4
    again = backend(server, cache).complete(asked)
    assert len(server.asked) == 6 and cache.hits == 2
    assert again[0].logprobs == first[0].logprobs and again[2].bounds == first[2].bounds
    assert (again[0].cost, first[0].cost) == (0.0, pytest.approx(0.006))


def test_what_is_known_has_no_price(server):
    cache, asked = AnswerCache(), backend(server, AnswerCache())
    asked.cache = cache
    assert asked.price(ask("well")) == pytest.approx(0.006)
    asked.complete([ask("well")])
    assert asked.price(ask("well")) == 0.0 and asked.price(ask("rare")) > 0.0


def test_an_answer_from_before_is_of_the_same_model_as_those_of_now(server):
    server.reset()
    cache = AnswerCache()
    backend(server, cache).complete([ask("well"), ask("rare")])
    server.model = "served-next-month"
    one, new, other = backend(server, cache, concurrency=1).complete([ask("well"), ask("unclear"), ask("rare")])
    assert (one.failure, other.failure) == ("", "") and one.served == other.served == "served"
    assert new.failure == "answered by the model 'served-next-month', and others by 'served'"
    # What is asked after an answer of now was read is compared with that one.
    (_, new), (_, old) = backend(server, cache).stream([ask("unclear"), None, ask("well")])
    assert (new.failure, old.attempts, old.cost) == ("", 0, 0.0)
    assert old.failure == "answered by the model 'served', and others by 'served-next-month'"


def test_what_is_under_way_when_nobody_reads_on_is_kept(server):
    server.reset()
    server.delay = 0.2
    cache = AnswerCache()
    stream = backend(server, cache, concurrency=8).stream(ask(f"well-{n}") for n in range(1000))
    next(stream)
    stream.close()
    # Requests may pass each other on their way: which of them were sent is the server's to say.
    asked = [body["messages"][-1]["content"] for _, _, body in server.asked]
    assert 8 < len(asked) < 32
    server.delay = 0.0
    backend(server, cache).complete([ask(text.removeprefix("Which? ")) for text in asked])
    assert len(server.asked) == len(asked) and cache.hits == len(asked)


def test_attempts_that_cost_nothing_are_not_noted_as_paid(server):
    cache = AnswerCache()
    server_config = {"url": server.url, "key_variable": None, "price_in": 1000.0, "price_out": 1000.0}
    backend = open_backend(JudgeConfig(backend="openai", model="m", server=server_config), cache)
    dead = [Request("", f"{number}? dead", "", ("A", "B")) for number in range(4)]
    stream = backend.stream([Request("", "Which? well", "", ("A", "B")), *dead])
    _, found = next(stream)
    while server.times["dead"] < len(dead):
        time.sleep(0.01)
    stream.close()
    assert found.cost > 0.0
    assert cache.unlabelled(payer("m", server.url)) == pytest.approx(found.cost)


def test_votes_are_drawn_one_by_one_and_each_is_kept(server):
    server.reset()
    cache = AnswerCache()
    votes = [Request("", "Which? well", "", (), reply_tokens=9, temperature=0.7, seed=seed) for seed in (1, 2, 3)]
    backend(server, cache).complete(votes)
    assert len(server.asked) == 3 and {body["seed"] for *_, body in server.asked} == {1, 2, 3}
    backend(server, cache).complete(votes)
    assert len(server.asked) == 3 and cache.hits == 3


@pytest.fixture
def workspace(server, tmp_path):
    server.reset()
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(ITEMS):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It rained.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    where = {"url": server.url, "key_variable": None, "concurrency": 8, "price_in": 1000.0, "price_out": 0.0}
    judge = {"backend": "openai", "model": "m", "rubric": "joke", "server": where}
    config = {"name": "j", "workspace": str(tmp_path), "judge": judge}
    (tmp_path / "judge.yaml").write_text(json.dumps(config))
    return tmp_path


def start(folder):
    words = [sys.executable, "-m", "rewardkit", "judge", str(folder / "judge.yaml"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def labels(folder):
    with Store.open(folder / "rewardkit.db") as store:
        return list(store.labels())


@pytest.mark.slow
def test_a_job_that_is_killed_buys_nothing_twice(server, workspace):
    server.delay = 0.05
    for most in (60, 140):
        process = start(workspace)
        while len(server.asked) < most:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # Those that were under way are answered, and nobody hears it: at most as many as may be at a time.
        while server.under_way:
            time.sleep(0.01)
    killed, there = len(server.asked), len(labels(workspace))
    assert there < killed < 2 * ITEMS
    server.delay = 0.0
    process = start(workspace)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found = labels(workspace)
    assert len({(label.comparison_id, label.order_shown) for label in found}) == len(found) == 2 * ITEMS
    times = [json.dumps(body, sort_keys=True) for *_, body in server.asked]
    # Twice is asked only what was under way when it was killed, each of two times.
    assert len(times) - len(set(times)) <= 2 * 8
    assert len(set(times)) == 2 * ITEMS


@pytest.mark.slow
def test_what_was_bought_becomes_labels_where_the_labels_were_lost(server, workspace):
    process = start(workspace)
    assert process.communicate(timeout=120) and process.returncode == 0
    before = {(each.comparison_id, each.order_shown): each.p_a for each in labels(workspace)}
    assert len(server.asked) == len(before) == 2 * ITEMS
    with Store.open(workspace / "rewardkit.db") as store:
        records = [*store.prompts(), *store.responses(), *(each.comparison for each in store.comparisons())]
    for path in workspace.glob("rewardkit.db*"):
        path.unlink()
    with Store.open(workspace / "rewardkit.db") as store:
        store.add(records)
    process = start(workspace)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and len(server.asked) == 2 * ITEMS, err
    after = labels(workspace)
    assert {(each.comparison_id, each.order_shown): each.p_a for each in after} == before
    assert sum(each.cost for each in after) == 0.0
    assert f"{2 * ITEMS} answers from the cache" in err and json.loads(out)["answers from the cache"] == 2 * ITEMS


def spent_on(server, asked):
    """Return what the server worked for, by its count of tokens."""
    signs = [sum(len(message["content"]) for message in body["messages"]) for *_, body in asked]
    return sum(-(-sign // 4) for sign in signs) * 1000.0 / 1e6


@pytest.mark.slow
def test_what_was_bought_and_became_no_label_is_spent_all_the_same(server, workspace):
    """Killed again and again before a label is committed, a job never pays more than it may."""
    server.delay = 0.02
    most = 14.0
    config = json.loads((workspace / "judge.yaml").read_text())
    config["judge"]["max_cost"] = most
    (workspace / "judge.yaml").write_text(json.dumps(config))
    for _ in range(3):
        before = len(server.asked)
        process = start(workspace)
        while len(server.asked) < before + 14 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    while server.under_way:
        time.sleep(0.01)
    server.delay = 0.0
    process = start(workspace)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0 and "the budget is used up" in err
    paid = spent_on(server, server.asked)
    assert 0.7 * most < paid <= most
    # All of it is known: what labels tell, and what was under way when the process was killed.
    with Store.open(workspace / "rewardkit.db") as store:
        (judge,) = (each for each in store.annotators().values() if each.kind == "judge")
        labelled = store.spent(judge.id)
    cache = AnswerCache(workspace / "judge-cache.db")
    assert labelled + cache.unlabelled(payer(judge.model, judge.revision)) == pytest.approx(paid, rel=0.1)
    cache.close()


def test_the_cost_of_an_answer_goes_to_the_label_that_tells_of_it(server, tmp_path):
    server.reset()
    place = tmp_path / "c.db"
    (bought,) = backend(server, AnswerCache(place)).complete([ask("well")])
    who = payer("m", server.url)
    # The process was killed: the next one finds the answer with what it cost, once.
    cache = AnswerCache(place)
    assert cache.unlabelled(who) == bought.cost == pytest.approx(0.006)
    first, again = backend(server, cache, concurrency=1).complete([ask("well")] * 2)
    assert sorted([first.cost, again.cost]) == [0.0, bought.cost] and first.attempts == again.attempts == 0
    cache.told_by("a label", [(each.key, each.cost) for each in (first, again) if each.key])
    assert cache.unlabelled(who) == bought.cost
    cache.committed(["a label"])
    assert cache.unlabelled(who) == 0.0 and AnswerCache(place).find(bought.key).cost == 0.0
    # A failure that was paid is noted too, and what was not paid is not.
    failed, refused = backend(server, cache, attempts=1).complete([ask("half"), ask("dead")])
    assert cache.unlabelled(who) == failed.cost > 0.0 == refused.cost
