"""Personas in place of people: a real server in its own process, and `rewardkit simulate --visit` beside it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from statistics import mean

import pytest
import sqlalchemy as sa

from rewardkit.store.labelling_tables import people
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

pytestmark = pytest.mark.slow
ITEMS, OVERLAP = 30, 3
PERSONAS = [
    {"name": "reliable", "reliability": 4.0, "seconds": 20},
    {"name": "usual", "reliability": 1.0, "position_bias": 0.3, "lapse": 0.1, "seconds": 15},
    {"name": "tiring", "reliability": 2.0, "fatigue": 1.0, "seconds": 25},
    {"name": "clicker", "spam": "first", "seconds": 3, "understanding": 0.8},
]


@pytest.fixture
def config(tmp_path):
    """A study of comparisons whose levels differ by one; its file."""
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(ITEMS):
            prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
            worse, better = (
                Response.of(prompt.id, f"answer {number} {level}", metadata={"level": level}) for level in (1, 2)
            )
            store.add([prompt, worse, better, Comparison.of(prompt.id, worse.id, better.id, source="made")])
    question = {"text": "Which text is better?", "options": ["the longer", "the one I would rather read"], "right": 2}
    label = {
        "least_seconds": 0.0,
        "port": 0,
        "assignment": {"overlap": OVERLAP, "most_overlap": OVERLAP, "repeats": 0.0},
        "check": {"questions": [question], "tries": 5},
    }
    settings = {"name": "staffed", "workspace": str(tmp_path), "label": label, "simulate": {"annotators": PERSONAS}}
    file = tmp_path / "staffed.yaml"
    file.write_text(json.dumps(settings))
    return file


@pytest.fixture
def address(config, tmp_path):
    """Serve the study with its pages; return where, and end the process."""
    log = tmp_path / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen([sys.executable, "-m", "rewardkit", "label", str(config)], stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r"serving at (\S+?)/ ", log.read_text())):
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield found.group(1)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def visiting(config, address, *options):
    # The server has its address before it answers.
    command = [sys.executable, "-m", "rewardkit", "simulate", str(config), "--visit", address, "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_personas_do_a_study_and_the_data_show_what_they_are_like(config, address, tmp_path):
    run = visiting(config, address, "--people", "4", "--speed", "500")
    out, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    result = json.loads(out)
    assert result["labels (gold and repeats included)"] == ITEMS * OVERLAP and result["refused"] == 0
    assert set(result["where they ended"].values()) == {"done"}
    with Store.open(tmp_path / "rewardkit.db") as store:
        labels, annotators = list(store.labels()), store.annotators()
        better = {
            each.comparison.id: "a" if each.response_a.metadata["level"] > each.response_b.metadata["level"] else "b"
            for each in store.comparisons()
        }
        with store.reading() as connection:
            names = {row.annotator_id: row.external_id for row in connection.execute(sa.select(people))}
    assert Counter(each.comparison_id for each in labels) == dict.fromkeys(better, OVERLAP)
    assert max(Counter((each.comparison_id, each.annotator_id) for each in labels).values()) == 1
    assert all(annotators[each.annotator_id].simulated for each in labels)
    theirs = defaultdict(list)
    for each in labels:
        theirs[names[each.annotator_id]].append(each)
    assert set(theirs) == {"reliable-1", "usual-1", "tiring-1", "clicker-1"}
    right = {name: mean(x.choice == better[x.comparison_id] for x in given) for name, given in theirs.items()}
    # One level at 4 logits is right with .982; a spammer with .5, and .8 is four standard errors from either.
    assert right["reliable-1"] > 0.85 and right["clicker-1"] < 0.8
    assert right["reliable-1"] > right["clicker-1"] + 0.15
    assert mean((x.choice == "a") == (x.order_shown == "ab") for x in theirs["clicker-1"]) == 1.0


@pytest.fixture
def interruptible():
    """Let programs that are started be interrupted; what runs in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_a_visit_and_the_same_command_goes_on(config, address, tmp_path, interruptible):
    run = visiting(config, address, "--people", "2", "--speed", "40")
    with Store.open(tmp_path / "rewardkit.db") as store:
        until = time.monotonic() + 60
        while store.counts()["labels"] < 6 and time.monotonic() < until:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        out, said = run.communicate(timeout=30)
        assert run.returncode == 130 and out == ""
        assert re.search(r"interrupted after \d+ labels, which are kept", said) and "the same command resumes" in said
        kept = store.counts()["labels"]
        assert 6 <= kept < 2 * ITEMS
        again = visiting(config, address, "--people", "2", "--speed", "2000")
        assert again.wait(60) == 0
        rest = json.loads(again.communicate()[0])
        # Two people can give two of the three labels.
        assert kept + rest["labels (gold and repeats included)"] == store.counts()["labels"] == 2 * ITEMS
