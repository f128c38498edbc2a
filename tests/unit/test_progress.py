from __future__ import annotations

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from rewardkit import progress as module
from rewardkit.progress import log, progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_line_goes_to_stderr_only(capsys):
    log("half way")
    assert capsys.readouterr() == ("", "half way\n")


def test_where_stderr_is_no_terminal_a_line_comes_every_ten_seconds(capsys, clock):
    with progress("judge", 40) as advance:
        advance(4)
        clock.now += 9
        advance(4)
        assert capsys.readouterr().err == ""
        clock.now += 1
        advance(2, "slow")
        # 10 in 10 seconds: 30 more take 30 seconds.
        assert capsys.readouterr().err == "judge: 10/40, 1/s, 30 s left slow\n"
        clock.now += 5
        advance(20)
        clock.now += 5
        advance(10)
        assert capsys.readouterr().err == "judge: 40/40, 2/s, 0 s left\n"


def test_without_a_total_it_says_the_rate(capsys, clock):
    with progress("import") as advance:
        clock.now += 20
        advance(5000)
    assert capsys.readouterr() == ("", "import: 5000 (250/s)\n")


def test_nothing_is_said_before_anything_is_done(capsys, clock):
    with progress("import", 5) as advance:
        clock.now += 20
        advance(0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("train", 3) as advance:
        advance(3, "loss 0.5")
    out, err = capsys.readouterr()
    assert out == "" and "train" in err and "3/3" in err and "loss 0.5" in err


@pytest.mark.parametrize("error", [BrokenPipeError, OSError(errno.EIO, "the terminal is gone")])
def test_where_nobody_reads_any_more_the_work_goes_on(monkeypatch, error):
    tried = []

    def write(line):
        tried.append(line)
        raise error

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=write, flush=lambda: None))
    log("one")
    log("two")
    assert tried == ["one\n"] and sys.stderr.name == os.devnull
    sys.stderr.close()
    monkeypatch.setattr(sys, "stderr", None)
    log("three")
