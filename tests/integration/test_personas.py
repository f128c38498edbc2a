"""Personas in place of people: a real server in its own process, and `rewardkit simulate --visit` beside it."""

from __future__ import annotations

import json
import math
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import pytest
import sqlalchemy as sa

from rewardkit.store.labelling_tables import people
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response

pytestmark = pytest.mark.slow
ITEMS, OVERLAP = 30, 3
PERSONAS = [
    {"name": "reliable", "reliability": 4.0, "seconds": 20},
    {"name": "usual", "reliability": 1.0, "position_bias": 0.3, "lapse": 0.1, "seconds": 15},
    {"name": "tiring", "reliability": 2.0, "fatigue": 1.0, "seconds": 25},
    {"name": "clicker", "spam": "first", "seconds": 3, "understanding": 0.8},
]


def fill(folder, *, judge=None):
    """Add comparisons whose levels differ by one; a judge may have preferred the worse of each."""
    with Store.open(folder / "rewardkit.db") as store:
        for number in range(ITEMS):
            prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
            worse, better = (
                Response.of(prompt.id, f"answer {number} {level}", metadata={"level": level}) for level in (1, 2)
            )
            pair = Comparison.of(prompt.id, worse.id, better.id, source="made")
            store.add([prompt, worse, better, pair])
            if judge:
                choice = "a" if pair.response_a == worse.id else "b"
                store.add([judge, Label.of(pair.id, judge.id, choice=choice, rationale="It scans.\nIt is short.")])


def written(folder, annotators, **label):
    """Write the config of a study; return its file."""
    label = {"least_seconds": 0.0, "port": 0, **label}
    settings = {"name": "staffed", "workspace": str(folder), "label": label, "simulate": {"annotators": annotators}}
    file = folder / "staffed.yaml"
    file.write_text(json.dumps(settings))
    return file


@contextmanager
def serving(config):
    """Serve a study with its pages; yields where, and ends the process."""
    log = config.parent / "server.log"
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


@pytest.fixture
def config(tmp_path):
    """A study of comparisons with a check; its file."""
    fill(tmp_path)
    question = {"text": "Which text is better?", "options": ["the longer", "the one I would rather read"], "right": 2}
    policy = {"overlap": OVERLAP, "most_overlap": OVERLAP, "repeats": 0.0}
    return written(tmp_path, PERSONAS, assignment=policy, check={"questions": [question], "tries": 5})


@pytest.fixture
def address(config):
    with serving(config) as page:
        yield page


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


def test_reviews_show_who_defers_to_a_judge(tmp_path):
    fill(tmp_path, judge=Annotator.of("judge", "contrary"))
    # All are right with .982, so that the judge, who never is, says something else nearly always.
    traits = {"stays": 0.0, "half": 0.5, "follows": 1.0}
    annotators = [{"name": name, "reliability": 4.0, "seconds": 5, "deference": each} for name, each in traits.items()]
    config = written(
        tmp_path,
        annotators,
        assignment={"overlap": OVERLAP, "most_overlap": OVERLAP, "repeats": 0.0},
        review={"judge": "contrary", "share": 0.6},
    )
    with serving(config) as page:
        run = visiting(config, page, "--speed", "2000")
        out, problems = run.communicate(timeout=120)
    assert run.returncode == 0, problems
    result = json.loads(out)
    assert result["labels (gold and repeats included)"] == ITEMS * OVERLAP and result["refused"] == 0
    with Store.open(tmp_path / "rewardkit.db") as store:
        judged = {each.comparison_id: each.choice for each in store.labels() if not each.metadata.get("arm")}
        names = {each.id: each.name for each in store.annotators().values()}
        with store.reading() as connection:
            theirs = {row.annotator_id: row.external_id[:-2] for row in connection.execute(sa.select(people))}
        versions = defaultdict(list)
        for each in store.labels(superseded=True):
            if each.annotator_id in theirs:
                versions[theirs[each.annotator_id], each.comparison_id].append(each)
    assert len(judged) == ITEMS and "contrary" in names.values() and len(versions) == ITEMS * OVERLAP
    pairs = {key: sorted(given, key=lambda each: each.supersedes is not None) for key, given in versions.items()}
    assert all(len(given) == (2 if given[0].metadata["arm"] == "review" else 1) for given in pairs.values())
    moved = defaultdict(list)
    for (name, comparison), (blind, *reviewed) in pairs.items():
        if reviewed and blind.choice != judged[comparison]:
            moved[name].append(reviewed[0].choice == judged[comparison])
    assert result["reviews"] == sum(len(given) == 2 for given in pairs.values()) > 0.4 * ITEMS * OVERLAP
    assert sum(map(sum, moved.values())) == result["reviews in which the judge's choice was taken over"]
    assert min(map(len, moved.values())) >= 8
    assert (mean(moved["stays"]), mean(moved["follows"])) == (0.0, 1.0)
    assert mean(moved["half"]) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(moved["half"])))
    # What was said blind is as right in one arm as in the other: nobody had seen the judge yet.
    for arm in ("blind", "review"):
        right = [x[0].choice != judged[key[1]] for key, x in pairs.items() if x[0].metadata["arm"] == arm]
        assert mean(right) > 0.85


def test_personas_talk_with_a_model_and_pick_by_taste(tmp_path):
    talking = runpy.run_path(str(Path(__file__).parents[1] / "talking.py"))

    class Wordy(talking["Asked"]):
        """One of two models says four times as much."""

        def reply(self, said, model):
            number = next(self.server.numbers)
            self.pieces([f"{number:03d} ", "so it is. " * (4 if model == talking["MODELS"][1] else 1)])
            self.line("[DONE]")

    likes = {"seconds": 2, "messages": ["Hello.", "And then?"]}
    annotators = [
        {"name": "brief", "length_bias": -9.0, **likes},
        {"name": "lavish", "length_bias": 9.0, **likes},
        {"name": "clicker", "spam": "first", **likes},
    ]
    with talking["Model"]() as model:
        model.RequestHandlerClass = Wordy
        threading.Thread(target=model.serve_forever, daemon=True).start()
        # Fewer streams than people: who finds none free asks again.
        chat = {"url": model.url, "models": talking["MODELS"], "conversations": 2, "streams": 1}
        config = written(tmp_path, annotators, chat=chat)
        with serving(config) as page:
            run = visiting(config, page, "--speed", "500")
            out, problems = run.communicate(timeout=120)
        model.shutdown()
    assert run.returncode == 0, problems
    result = json.loads(out)
    assert result["by annotator"] == dict.fromkeys(("brief-1", "lavish-1", "clicker-1"), 4) and result["refused"] == 0
    assert set(result["where they ended"].values()) == {"done"}
    with Store.open(tmp_path / "rewardkit.db") as store:
        with store.reading() as connection:
            names = {row.annotator_id: row.external_id[:-2] for row in connection.execute(sa.select(people))}
        models = {each.id: each.model for each in store.responses()}
        found = {each.comparison.id: each for each in store.comparisons()}
        assert all(each.simulated for each in store.annotators().values())
        picked = defaultdict(list)
        for label in store.labels():
            pair = found[label.comparison_id].comparison
            chosen = models[pair.response_a if label.choice == "a" else pair.response_b]
            first = (label.choice == "a") == (label.order_shown == "ab")
            picked[names[label.annotator_id]].append((chosen, first))
    short, long = talking["MODELS"]
    assert {model for model, _ in picked["brief"]} == {short} and {model for model, _ in picked["lavish"]} == {long}
    assert [first for _, first in picked["clicker"]] == [True] * 4
    said = {message.content for each in found.values() for message in each.prompt.messages if message.role == "user"}
    assert said == {"Hello.", "And then?"}
