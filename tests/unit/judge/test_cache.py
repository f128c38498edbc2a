"""Answers that are kept: found by all that can change them, written at once, never a failure."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import pytest

from rewardkit.errors import ConfigError, StoreError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache, answer_key
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.openai_api import OpenAIDialect
from rewardkit.judge_config import JudgeConfig, ServerConfig

ASKED = Request("You judge.", "Which?", "Answer:", ("A", "B"))
WORDS = Request("You judge.", "Which?", "", (), reply_tokens=40)


def key(request=ASKED, *, model="m", url="http://127.0.0.1/v1", provider="openai", **server):
    body = OpenAIDialect(model, ServerConfig(url=url, **server)).body(request)
    return answer_key(provider, url, body, request)


@pytest.mark.parametrize(
    "changed",
    [
        {"system": "You judge well."},
        {"user": "Which now?"},
        {"prefill": "My answer:"},
        {"labels": ("A", "B", "C")},
        {"labels": ("B", "A")},
        {"turns": (("A", "Sure?"),)},
        {"seed": 1},
        {"cut": True},
    ],
)
def test_whatever_changes_a_question_changes_its_key(changed):
    assert key(replace(ASKED, **changed)) != key()


@pytest.mark.parametrize(
    "changed",
    [{"reply_tokens": 41}, {"temperature": 0.7}, {"seed": 3}, {"schema": '{"type": "object"}'}, {"cut": True}],
)
def test_whatever_changes_a_reply_changes_its_key(changed):
    assert key(replace(WORDS, **changed)) != key(WORDS)


def test_the_endpoint_the_model_and_the_settings_are_in_the_key():
    others = [
        key(url="http://127.0.0.1:2/v1"),
        key(model="m2"),
        key(provider="anthropic"),
        key(top_logprobs=5),
    ]
    assert len({key(), *others}) == 5
    assert key(WORDS, temperature=0.5) != key(WORDS)


def test_what_cannot_change_an_answer_is_not_in_the_key():
    assert key(replace(ASKED, about="some comparison ab")) == key()
    assert key(url="http://127.0.0.1/v1/") == key()
    assert key(concurrency=3, seconds=5.0, price_in=1.0, price_out=2.0) == key()


def test_parts_of_a_conversation_cannot_be_moved_from_one_to_the_other():
    one = replace(WORDS, turns=(("yes", "no"),))
    other = replace(WORDS, turns=(("yesno", ""),))
    assert key(one) != key(other)


def test_an_answer_comes_back_as_it_was_and_costs_nothing(tmp_path):
    told = Completion(
        {"A": -0.25, "B": -math.inf},
        bounds={"C": -5.5},
        reply="so",
        tokens=7,
        reply_tokens=2,
        served="m-2",
        attempts=3,
        paid_again=1,
        cost=0.5,
        seconds=1.25,
        was_cut=True,
    )
    place = tmp_path / "there" / "judge-cache.db"
    AnswerCache(place).keep({"k": told, "failed": replace(told, failure="no")})
    again = AnswerCache(place)
    assert again.find("k") == replace(told, attempts=0, paid_again=0, cost=0.0, seconds=0.0)
    assert again.find("failed") is None and again.find("other") is None
    assert again.hits == 1 and again.holds("k") and not again.holds("failed") and again.hits == 1


def test_batches_are_known_by_their_questions_until_their_answers_are_taken(tmp_path):
    cache = AnswerCache(tmp_path / "c.db")
    cache.sent("batch-1", ["one", "two"])
    later = AnswerCache(tmp_path / "c.db")
    assert (later.batch_of("two"), later.batch_of("three")) == ("batch-1", None)
    later.taken("batch-1", ["one"], {"one": Completion(reply="x")})
    assert cache.batch_of("one") is None and cache.find("one").reply == "x"
    assert cache.batch_of("two") == "batch-1" and cache.find("two") is None
    later.taken("batch-1", ["two"], {})
    assert cache.batch_of("two") is None and cache.find("two") is None


def test_what_a_batch_cost_is_noted_with_its_answers(tmp_path):
    cache = AnswerCache(tmp_path / "c.db")
    cache.sent("batch-1", ["one", "two"])
    bills = [("one", "m at home", 0.5), ("two", "m at home", 0.0)]
    cache.taken("batch-1", ["one", "two"], {"one": Completion(reply="x"), "two": Completion(reply="y")}, bills)
    later = AnswerCache(tmp_path / "c.db")
    assert later.unlabelled("m at home") == 0.5
    assert (later.find("one").cost, later.find("two").cost) == (0.5, 0.0)


def test_a_file_that_is_no_database_is_said(tmp_path):
    place = tmp_path / "c.db"
    place.write_text("these are notes, and no database at all" * 40)
    with pytest.raises(StoreError, match="kept answers cannot be used") as raised:
        AnswerCache(place).find("k")
    assert str(place) in str(raised.value) and raised.value.fix


def test_an_answer_is_there_for_others_the_moment_that_it_is_kept(tmp_path):
    cache = AnswerCache(tmp_path / "c.db")
    cache.keep({"k": Completion(reply="x")})
    with sqlite3.connect(tmp_path / "c.db") as other:
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (1,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    cache.close()


def test_who_keeps_answers():
    cache = AnswerCache()
    asked = {"backend": "openai", "server": {"key_variable": None}}
    assert open_backend(JudgeConfig(**asked), cache).cache is cache
    assert open_backend(JudgeConfig(**asked, cache=False), cache).cache is None
    assert open_backend(JudgeConfig(backend="fake"), cache).name == "fake"
    with pytest.raises(ConfigError, match="keeps no answers"):
        open_backend(JudgeConfig(backend="fake", cache=True), cache)
