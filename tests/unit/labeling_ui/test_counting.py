"""What researchers are told is counted once, elsewhere, and is what it would be if it were counted here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from labeling_ui import counted as module
from labeling_ui.answered import AnswerReader
from labeling_ui.counted import Counted
from labeling_ui.counting import YIELDING, Elsewhere
from labeling_ui.overview import agreed_on, agreement_by_task, agreement_over_time, agreements, main_agreement
from rewardkit.errors import JobFailed, StoreError
from rewardkit.label_config import AssignmentConfig
from rewardkit.types import Message, Prompt, Response


@pytest.fixture
def labelled(desk, settle, stock, comparisons, join, prefer):
    """Two people label eight items; ann could label four more."""
    settle(assignment=AssignmentConfig(overlap=2, most_overlap=2, repeats=0.0))
    stock(comparisons(8).values())
    ann, ben = join("ann"), join("ben")
    for at in range(8):
        prefer(ann, "aab"[at % 3])
        prefer(ben, ("a", "b", "tie", None)[at % 4])
    stock(comparisons(4, tag="later ").values())
    return lambda: prefer(ann, "b")


@pytest.fixture
def here(desk):
    return Counted(desk.store, desk.study.name)


@pytest.fixture
def elsewhere(desk):
    return Elsewhere(desk.store.url, desk.study.name)


def test_it_is_the_same_elsewhere(desk, labelled, here, elsewhere, clock):
    assert elsewhere.overview(clock.now) == here.overview(clock.now)
    assert elsewhere.annotators(desk.study) == here.annotators(desk.study)
    assert elsewhere.dispute("") == here.dispute("") and here.dispute("")[1] > 1
    labelled()
    clock.now += 5.0
    # What is new is counted, by whoever counts.
    assert elsewhere.overview(clock.now).answered == 17
    assert elsewhere.annotators(desk.study) == here.annotators(desk.study)


def test_agreement_is_counted_anew_only_for_what_is_new(labelled, here, clock, monkeypatch):
    counted = []
    monkeypatch.setattr(module, "agreed_on", lambda answers: counted.append(len(answers)) or agreed_on(answers))
    monkeypatch.setattr(module, "REST", 0.0)
    first = here.overview(clock.now)
    clock.now += 4000
    second = here.overview(clock.now)
    # What goes by the clock is counted anew; agreement is not.
    assert counted == [16] and second.agreed is first.agreed and second.agreed_at == first.agreed_at
    assert len(second.bars) > len(first.bars)
    labelled()
    assert here.overview(clock.now).answered == 17 and counted == [16, 17]
    # With answers that come all the time it is counted a tenth of the time; what costs nothing is always true.
    monkeypatch.setattr(module, "REST", 1e6)
    labelled()
    assert here.overview(clock.now).answered == 18 and counted == [16, 17, 18]
    labelled()
    later = here.overview(clock.now + 5)
    assert (later.answered, later.agreed_at) == (19, clock.now) and counted == [16, 17, 18]


def test_nothing_new_is_the_same_list(desk, labelled):
    reader = AnswerReader(desk.store, desk.study.name)
    first = reader.read()
    assert reader.read() is first and len(first) == 16
    labelled()
    assert reader.read() is not first


def test_what_is_measured_once_is_what_it_is_when_measured_twice(desk, store, labelled, stock, join, prefer, settle):
    def all_of(answers):
        return agreed_on(answers), (
            main_agreement(answers),
            agreements(answers),
            agreement_by_task(answers),
            agreement_over_time(answers),
        )

    reader = AnswerReader(desk.store, desk.study.name)
    found, apart = all_of(reader.read())
    assert (found.whole, found.questions, found.tasks, found.moments) == apart and found.whole.alpha is not None
    # Of two tasks, each has its own.
    prompt = Prompt.of((Message(role="user", content="A poem"),), task="poems")
    texts = [Response.of(prompt.id, f"text {number}") for number in range(2)]
    store.add([prompt, *texts])
    stock([[text.id for text in texts]], priority=-1)
    for name in ("cem", "dan"):
        prefer(join(name), "a")
    found, apart = all_of(reader.read())
    assert (found.whole, found.questions, found.tasks, found.moments) == apart
    assert [each.name for each in found.tasks] == ["Prompts that name no task", "Prompts of the task poems"]
    assert agreed_on([]).whole.units == 0 and agreed_on([]).tasks == []


def test_at_work_is_who_answered_lately_and_has_something_in_hand(labelled, here, clock, desk, join):
    # Both are through: nothing was given to them since.
    assert here.overview(clock.now).at_work == 0
    desk.next(join("ann"))
    desk.next(join("who has answered nothing"))
    assert here.overview(clock.now).at_work == 1
    assert here.overview(clock.now + 4000).at_work == 0


def test_it_is_started_ahead_and_once(elsewhere, clock, labelled):
    elsewhere.start()
    process = elsewhere._process
    elsewhere.start()
    assert elsewhere.overview(clock.now).answered == 16 and elsewhere._process is process


def test_one_question_at_a_time_of_as_many_as_ask(labelled, elsewhere, clock):
    found = []
    asking = [threading.Thread(target=lambda: found.append(elsewhere.overview(clock.now))) for _ in range(6)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert len(found) == 6 and all(each == found[0] for each in found)


@pytest.mark.slow
@pytest.mark.parametrize("gone", [False, True])
def test_a_process_that_is_killed_is_started_again(labelled, elsewhere, clock, gone):
    before = elsewhere.overview(clock.now)
    os.kill(elsewhere._process.pid, signal.SIGKILL)
    if gone:
        # Then the question cannot even be written.
        elsewhere._process.wait()
    with pytest.raises(JobFailed, match="has ended"):
        elsewhere.overview(clock.now)
    assert elsewhere.overview(clock.now) == before


def test_what_the_database_refuses_is_said_by_whoever_asked(tmp_path, clock):
    (tmp_path / "other.db").write_text("no database, but text that is long enough to be taken for one" * 20)
    gone = Elsewhere(f"sqlite:///{tmp_path / 'other.db'}", "study")
    for _ in range(2):
        with pytest.raises(StoreError, match="no database"):
            gone.overview(clock.now)


@pytest.mark.slow
def test_it_gives_way_and_ends_with_who_asks(labelled, elsewhere, clock, desk):
    elsewhere.overview(clock.now)
    assert psutil.Process(elsewhere._process.pid).nice() == min(psutil.Process().nice() + YIELDING, 19)
    other = "import sys, time\nfrom labeling_ui.counting import Elsewhere\ne = Elsewhere(*sys.argv[1:])\n"
    other += "e.overview(0.0)\nprint(e._process.pid, flush=True)\ntime.sleep(60)\n"
    words = [sys.executable, "-c", other, desk.store.url, desk.study.name]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(10)
