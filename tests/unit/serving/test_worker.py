from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rewardkit.serving.daemon_thread import DaemonThread
from rewardkit.serving.line import Line
from rewardkit.serving.refusals import Refusal
from rewardkit.serving.worker import MOST_FAILURES, Worker

ByHand = runpy.run_path(str(Path(__file__).parents[2] / "served.py"))["ByHand"]
SECONDS = 60


@pytest.fixture
def started():
    """Start a worker over a line: `started(engine)`; what it has to read is put there first."""
    lines = []

    def start(engine, *requests):
        line = Line(100_000)
        futures = [put(line, *each) for each in requests]
        worker = Worker(engine, line, DaemonThread("rewards"))
        lines.append((line, worker))
        worker.start()
        return worker, line, futures

    yield start
    for line, worker in lines:
        line.close("the test is over")
        worker.join(SECONDS)
        assert not worker.alive


def put(line, *texts):
    with line.place(0) as held:
        return line.put(held, [list(text.encode()) for text in texts])


def said(future):
    """Return rewards, and reasons where there are none."""
    return [each if isinstance(each, str) else each.reward for each in future.result(SECONDS)]


def test_what_waits_is_read_together_by_one_thread(started):
    engine = ByHand(budget=16)
    _, _, futures = started(engine, ["a", "bb"], ["ccc"], ["d" * 100, "ee"])
    assert [said(future) for future in futures] == [[1.0, 2.0], [3.0], [100.0, 2.0]]
    assert engine.passes == [["a", "bb", "ccc"], ["d" * 100], ["ee"]]
    assert engine.threads == {"rewards"}


def test_a_text_that_breaks_a_pass_breaks_no_other(started):
    worker, _, futures = started(ByHand(), ["a", "b!"], ["ccc"])
    assert [said(future) for future in futures] == [[1.0, "the model failed on this text"], [3.0]]
    assert worker.alive and not worker.failed


def test_who_leaves_while_a_broken_pass_is_read_text_by_text_is_not_read(started):
    engine = ByHand()
    engine.open.clear()
    _, line, futures = started(engine, ["a"])
    assert engine.reading.wait(SECONDS)
    breaks, gone = put(line, "b!"), put(line, "c")
    inner = engine.read

    def read(sequences):
        if len(sequences) == 1:
            gone.cancel()
        return inner(sequences)

    engine.read = read
    engine.open.set()
    assert said(futures[0]) == [1.0] and said(breaks) == ["the model failed on this text"]
    assert engine.passes == [["a"], ["b!", "c"], ["b!"]]


def test_a_reward_that_is_no_number_is_none(started):
    _, _, futures = started(ByHand(), ["a", "~"])
    assert said(futures[0]) == [1.0, "the model gives it no finite reward"]


def test_a_model_that_fails_on_everything_is_given_up(started):
    worker, line, futures = started(ByHand(), ["!"] * (MOST_FAILURES + 1), ["a"])
    with pytest.raises(Refusal, match="restart the server"):
        futures[0].result(SECONDS)
    worker.join(SECONDS)
    assert worker.failed and not worker.alive
    with pytest.raises(Refusal, match="restart the server"):
        put(line, "later")


def test_a_model_that_cannot_group_is_given_up(started):
    class Broken(ByHand):
        def with_first(self, sequences):
            raise RuntimeError("no groups")

    worker, _, futures = started(Broken(), ["a"])
    with pytest.raises(Refusal) as refused:
        futures[0].result(SECONDS)
    assert refused.value.status == 503 and worker.failed


def test_who_left_during_a_pass_is_not_read(started):
    # A budget of 1 reads each text by itself.
    engine = ByHand(budget=1)
    engine.open.clear()
    _, line, futures = started(engine, ["a"])
    assert engine.reading.wait(SECONDS)
    gone, stays = put(line, "g", "h"), put(line, "s")
    gone.cancel()
    engine.open.set()
    assert said(futures[0]) == said(stays) == [1.0]
    assert engine.passes == [["a"], ["s"]]
