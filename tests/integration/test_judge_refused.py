"""A store that refuses what a judge says, in the middle of a job: the command tells why, and ends."""

from __future__ import annotations

import json
import runpy
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

server = runpy.run_path(str(Path(__file__).parents[1] / "judging.py"))["server"]
REFUSES = "CREATE TRIGGER full BEFORE INSERT ON {} BEGIN SELECT RAISE(ABORT, 'there is no room'); END"


@pytest.fixture
def workspace(server, tmp_path):
    server.reset()
    server.delay = 0.02
    with Store.open(tmp_path / "rewardkit.db") as store:
        for number in range(300):
            prompt = Prompt.of((Message(role="user", content=f"A line about rain, {number}."),))
            found = [Response.of(prompt.id, text) for text in ("It rained.", "The gutters sang.")]
            store.add([prompt, *found, Comparison.of(prompt.id, *(each.id for each in found))])
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("table", ["labels", "annotators"])
def test_a_store_that_refuses_labels_ends_the_command(server, workspace, table):
    with closing(sqlite3.connect(workspace / "rewardkit.db")) as there, there:
        there.execute(REFUSES.format(table))
    where = {"url": server.url, "key_variable": None, "concurrency": 8}
    judge = {"backend": "openai", "model": "m", "rubric": "joke", "server": where}
    (workspace / "judge.yaml").write_text(json.dumps({"name": "j", "workspace": str(workspace), "judge": judge}))
    words = [sys.executable, "-m", "rewardkit", "judge", str(workspace / "judge.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "there is no room" in done.stderr
    # It had not asked about all of them when it was told.
    assert len(server.asked) < 600
