from __future__ import annotations

import pickle
import threading
import time

import pytest

from rewardkit.jobs.cluster import ledger as module
from rewardkit.jobs.cluster.ledger import Bounds, Ledger, SharedAnswers, SharedBudget
from rewardkit.jobs.cluster.unrecorded import Unrecorded
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Completion

WHO, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def bounds(tmp_path):
    def build(most=None, spent=0.0, rate=0.2, payers=(WHO,)):
        return Bounds(most, spent, payers, rate, tmp_path / "shards", tmp_path / "answers.db")

    return build


def file_of(tmp_path, who=WHO, name="run-000000.parquet"):
    return tmp_path / "shards" / who[:16] / "said" / name


def calling(ledger):
    """Call a ledger as one does on a cluster: one call after the other."""
    lock = threading.Lock()

    def call(method, *arguments):
        with lock:
            return getattr(ledger, method)(*arguments)

    return call


def test_no_two_judges_spend_the_same_money(bounds):
    ledger = Ledger(bounds(most=1.0, spent=0.25))
    assert ledger.reserve("one", 0.5) and not ledger.reserve("two", 0.5)
    ledger.settle("one", 0.5, 0.25)
    assert ledger.reserve("two", 0.5) and not ledger.reserve("one", 0.125)
    assert ledger.state().spent == 0.5 and not ledger.state().used_up


def test_a_judge_waits_for_money_that_others_may_give_back(bounds, monkeypatch):
    monkeypatch.setattr(module, "ASKED_EVERY", 0.01)
    ledger = Ledger(bounds(most=1.0))
    call = calling(ledger)
    first, second = SharedBudget(call=call, judge="one"), SharedBudget(call=call, judge="two")
    assert first.reserve(0.75)
    # It has something under way itself: it waits for its own answers first.
    assert not first.reserve(0.5)
    granted = []
    waiting = threading.Thread(target=lambda: granted.append(second.reserve(0.5)))
    waiting.start()
    time.sleep(0.1)
    assert not granted
    first.settle(0.75, 0.25)
    waiting.join(20)
    assert granted == [True] and not ledger.state().used_up
    second.settle(0.5, 0.5)
    # What is left can never pay this: there is nothing to wait for.
    assert not second.reserve(0.5) and ledger.state().used_up


def test_nobody_waits_in_a_run_that_was_stopped(bounds, monkeypatch):
    monkeypatch.setattr(module, "ASKED_EVERY", 0.01)
    ledger = Ledger(bounds(most=1.0))
    call = calling(ledger)
    assert SharedBudget(call=call, judge="one").reserve(0.75)
    granted, second = [], SharedBudget(call=call, judge="two")
    waiting = threading.Thread(target=lambda: granted.append(second.reserve(0.5)), daemon=True)
    waiting.start()
    time.sleep(0.1)
    assert not granted
    call("stop")
    waiting.join(20)
    assert granted == [False]
    # It was told to end; that is no lack of money.
    assert not ledger.state().used_up


def test_what_a_judge_that_ends_had_set_aside_is_there_for_others(bounds, tmp_path):
    ledger = Ledger(bounds(most=1.0))
    for judge in ("one", "two"):
        ledger.takes(judge, file_of(tmp_path, name=judge))
    assert ledger.reserve("one", 0.75) and not ledger.reserve("two", 0.5)
    ledger.ended("one", False)
    assert ledger.state().spent == 0.0 and ledger.reserve("two", 0.5)
    # A request whose answer nobody took may be billed: it is spent, in the next run too, and blocks nobody.
    ledger.settle("two", 0.25, 0.125)
    ledger.written("two")
    ledger.ended("two", True)
    assert ledger.state().spent == 0.375 and ledger.reserve("one", 0.625)
    ledger.ended("one", False)
    ledger.close()
    assert Ledger(bounds(most=1.0, spent=0.125)).state().spent == 0.375


def test_what_a_lost_judge_spent_stays_spent_in_the_next_run_too(bounds, tmp_path):
    ledger = Ledger(bounds(most=2.0))
    ledger.takes("one", file_of(tmp_path))
    for cost in (0.25, 0.5):
        assert ledger.reserve("one", 0.5)
        ledger.settle("one", 0.5, cost)
        if cost == 0.25:
            ledger.written("one")
    assert ledger.reserve("one", 0.125)
    ledger.lost("one")
    # 0.25 are on record with their labels; 0.5 and what may have been billed are not.
    assert ledger.state().spent == 0.25 + 0.5 + 0.125
    ledger.close()
    again = Ledger(bounds(most=2.0, spent=0.25))
    assert again.state().spent == 0.875
    assert again.reserve("one", 1.125) and not again.reserve("one", 0.125)
    # Whoever does not share the budget does not pay for it.
    assert Ledger(bounds(payers=(OTHER,))).state().spent == 0.0
    assert Ledger(bounds(payers=(OTHER, WHO))).state().spent == 0.625


def test_money_is_noted_by_the_file_that_is_to_tell_of_it(bounds, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WRITTEN_EVERY", 0.0)
    ledger = Ledger(bounds())
    for judge, who in (("one", WHO), ("two", OTHER)):
        ledger.takes(judge, file_of(tmp_path, who, judge))
        ledger.settle(judge, 0.0, 0.25)
    # The job is killed here: nobody closes the books.
    noted = Unrecorded(tmp_path / "shards")
    assert noted.of([WHO]) == noted.of([OTHER]) == 0.25 and noted.of([WHO, OTHER]) == 0.5
    ledger.written("one")
    assert Unrecorded(tmp_path / "shards").of([WHO, OTHER]) == 0.25


def test_failures_of_all_judges_stop_the_run_and_those_of_a_lost_one_do_not_count(bounds):
    ledger = Ledger(bounds(rate=0.2))
    assert ledger.answered("one", 19, {"silence": 9})
    assert ledger.answered("two", 81, {})
    assert ledger.answered("two", 5, {"noise": 5})
    ledger.lost("one")
    state = ledger.state()
    assert state.done == 86 and state.reasons == {"noise": 5} and not state.stopped
    assert not ledger.answered("two", 20, {"noise": 20})
    assert ledger.state().stopped and not ledger.answered("three", 1, {})


def test_labels_that_did_not_fail_are_no_excuse_for_ratings_that_do(bounds):
    ledger = Ledger(bounds(rate=0.2))
    assert ledger.answered("one", 1000, {})
    ledger.written("one")
    ledger.begin()
    assert ledger.state().done == 0
    assert not ledger.answered("one", 20, {"silence": 20})


def test_what_stopped_a_run_ends_it_whatever_comes_after(bounds):
    ledger = Ledger(bounds(rate=0.2))
    assert not ledger.answered("one", 20, {"noise": 5})
    # Another judge's last report: a share of 5 in 420 would pass, with shards that nobody has judged.
    assert not ledger.answered("two", 400, {})
    state = pickle.loads(pickle.dumps(ledger.state()))
    assert "5 of 20 judgements failed: 5 x noise" in str(state.failure)
    assert "judge.max_failure_rate" in str(state.failure)
    ledger.begin()
    assert ledger.state().failure is None and not ledger.state().stopped and ledger.answered("one", 1, {})


def test_answers_that_one_judge_bought_are_there_for_all(bounds):
    ledger = Ledger(bounds())
    one, other = SharedAnswers(calling(ledger)), SharedAnswers(calling(ledger))
    one.keep({"key": Completion({"A": -0.5}, tokens=3, cost=0.25)})
    assert other.holds("key") and not other.holds("other")
    found = other.find("key")
    assert found.logprobs == {"A": -0.5} and found.cost == 0.0 and ledger.state().hits == 1
    one.sent("batch", ["a", "b"])
    assert other.batch_of("a") == other.batch_of("b") == "batch"
    other.taken("batch", ["a", "b"], {"a": Completion({"A": -1.0})})
    assert one.holds("a") and one.batch_of("b") is None
    ledger.close()
    assert Ledger(bounds()).answers("holds", "a")


def test_nothing_is_asked_where_nothing_is_paid():
    def refuse(*_):
        raise AssertionError("the ledger was asked")

    budget = SharedBudget(call=refuse, judge="one")
    assert budget.reserve(0.0)
    budget.settle(0.0, 0.0)
    budget.check()


def test_all_that_a_cache_can_do_is_done_where_the_ledger_is():
    public = {name for name, value in vars(AnswerCache).items() if callable(value) and not name.startswith("_")}
    # There is nothing to close here: the file is open elsewhere.
    assert public - {"close"} <= vars(SharedAnswers).keys()
