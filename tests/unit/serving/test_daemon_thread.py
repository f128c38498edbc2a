from __future__ import annotations

import threading

import pytest

from rewardkit.serving.daemon_thread import DaemonThread

SECONDS = 60


def test_one_thread_runs_one_task_after_the_other():
    thread, done = DaemonThread("rewards"), []
    found = [thread.run(lambda place=place: done.append(place) or threading.get_ident()) for place in range(5)]
    assert len({each.result(SECONDS) for each in found}) == 1 and done == [0, 1, 2, 3, 4]
    assert found[0].result() != threading.get_ident()
    thread.end()


def test_what_a_task_raises_is_the_asker_s():
    thread = DaemonThread("rewards")
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 / 0).result(SECONDS)
    assert thread.run(lambda: "goes on").result(SECONDS) == "goes on"
    thread.end()


def test_who_does_not_want_it_any_more_stops_nobody_else():
    thread, free = DaemonThread("rewards"), threading.Event()
    busy, gone, stays = thread.run(lambda: free.wait(SECONDS)), thread.run(lambda: "gone"), thread.run(lambda: "stays")
    assert gone.cancel()
    free.set()
    assert busy.result(SECONDS) and stays.result(SECONDS) == "stays"
    thread.end()


def test_it_ends_after_what_is_there():
    thread = DaemonThread("rewards")
    running = thread.run(threading.current_thread)
    thread.end()
    ended = running.result(SECONDS)
    ended.join(SECONDS)
    assert not ended.is_alive()
