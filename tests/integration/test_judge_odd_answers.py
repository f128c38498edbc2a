"""Answers that no file can hold, refusals of one item, lines that break: failures of one item, and paid as they are."""

from __future__ import annotations

import runpy
import socket
import sqlite3
from pathlib import Path

import pytest

from rewardkit.errors import ModelError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Request
from rewardkit.judge_config import JudgeConfig

JUDGING = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))
provider = runpy.run_path(str(Path(__file__).parents[1] / "batches.py"))["provider"]
HALF = "It is \ud83d good."
REFUSAL = {"role": "assistant", "content": None, "refusal": HALF}
MARKED = "It is \N{REPLACEMENT CHARACTER} good."
ODD = [
    ("message", REFUSAL),
    ("model", 7),
    ("prompt_tokens", -1),
    ("prompt_tokens", 10**30),
]


class Odd(JUDGING["Judging"]):
    """Answers that are nested too deep, and refusals of single items, besides what the server knows."""

    def answer(self, body, said, times):
        if said == "deep":
            return self.text(200, "[" * 200_000)
        if said == "half-refused":
            return self.refuse(400, HALF)
        if said.isdigit():
            return self.refuse(int(said), "your input was flagged")
        return super().answer(body, said, times)


@pytest.fixture
def server():
    with JUDGING["running"](Odd) as serving:
        yield serving


@pytest.fixture
def backend(server):
    def build(**how):
        prices = {"price_in": 1000.0, "price_out": 0.0}
        where = {"url": server.url, "key_variable": None, "attempts": 1, "concurrency": 1, **prices, **how}
        return open_backend(JudgeConfig(backend="openai", model="m", server=where))

    return build


def ask(said):
    return Request("You judge.", f"Which? {said}", "", (), reply_tokens=30)


def stored(text):
    """Return a text as a database gives it back."""
    connection = sqlite3.connect(":memory:")
    try:
        return connection.execute("SELECT ?", (text,)).fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize(("where", "what"), ODD)
def test_an_answer_that_cannot_be_kept_is_a_failure_of_one_item(backend, server, where, what):
    server.odd = (where, what)
    first, odd, last = backend().complete([ask("well"), ask("odd"), ask("well")])
    assert odd.failure and stored(odd.failure) == odd.failure and odd.cost == pytest.approx(5 / 1000)
    assert first.reply == last.reply == "The answer is A."


@pytest.mark.parametrize(("where", "kept"), [("content", "reply"), ("model", "served")])
def test_a_text_that_cannot_be_kept_as_it_is_is_kept_with_a_mark(backend, server, where, kept):
    server.odd = (where, HALF)
    (odd,) = backend().complete([ask("odd")])
    assert not odd.failure and getattr(odd, kept) == MARKED == stored(MARKED)


def test_an_answer_that_is_nested_too_deep_is_a_failure_of_one_item(backend):
    first, odd, last = backend().complete([ask("well"), ask("deep"), ask("well")])
    assert odd.failure.startswith("the answer cannot be read") and odd.cost > 0.0
    assert first.reply == last.reply == "The answer is A."


def test_a_complaint_that_no_file_can_hold_is_told_as_far_as_it_can_be(backend):
    (found,) = backend().complete([ask("half-refused")])
    assert stored(found.failure) == found.failure == f"HTTP 400: {MARKED}"


@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_refusal_concerns_one_item_where_others_were_answered(backend, status):
    first, refused, last = backend().complete([ask("well"), ask(str(status)), ask("well")])
    assert refused.failure == f"HTTP {status}: your input was flagged" and refused.cost == 0.0
    assert first.reply == last.reply == "The answer is A."


@pytest.mark.parametrize("asked", [["402", "well"], ["403", "well"], ["404", "well"], ["well", "401"]])
def test_a_refusal_before_any_answer_and_a_key_that_is_none_end_the_job(backend, asked):
    with pytest.raises(ModelError, match=r"the server refuses: HTTP 40\d: your input was flagged"):
        backend().complete([ask(said) for said in asked])


def test_what_is_never_sent_has_no_price(backend, server):
    judge, too_long = backend(), ask("word " * 2048 + "well")
    assert judge.count_tokens(too_long) > 2048 and judge.price(too_long) == 0.0 < judge.price(ask("well"))
    (found,) = judge.complete([too_long])
    assert found.failure == "the request is longer than max_tokens (2048)" and not server.asked


def test_a_line_that_breaks_is_paid_and_one_that_never_was_is_not(backend, server, capsys):
    asked, judge = [], backend(attempts=3)
    judge.allow = lambda price: asked.append(price) or len(asked) < 2
    (broken,) = judge.complete([ask("away")])
    # Once more was paid for, a third time could not be.
    assert broken.failure.startswith("the server cannot be reached") and broken.attempts == server.times["away"] == 2
    assert broken.cost == pytest.approx(2 * judge.price(ask("away"))) and broken.paid_again == 1
    with socket.socket() as silent:
        # Nobody listens at a port that is only taken.
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        (unsent,) = backend(attempts=2, url=url).complete([ask("well")])
    assert unsent.failure.startswith("the server cannot be reached") and (unsent.attempts, unsent.cost) == (2, 0.0)
    # It takes a while until all attempts were made: what is wrong is said before, and once.
    (first, second) = capsys.readouterr().err.splitlines()
    assert first.endswith("each request is tried 3 times") and second.endswith("each request is tried 2 times")


def test_odd_answers_of_a_batch_are_failures_too(provider):
    provider.model = 7
    where = {"url": provider.base, "key_variable": None, "batch": True, "batch_seconds": 0.01, "attempts": 1}
    config = JudgeConfig(backend=provider.provider, model="m", server={**where, "price_in": 1000.0, "price_out": 0.0})
    for found in open_backend(config).complete([ask("well"), ask("good")]):
        assert found.failure.startswith("the answer cannot be read") and found.cost > 0.0
