"""Annotators' processes that are killed in the middle: no label lost, none doubled, no item given too often."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import sqlalchemy as sa

from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.label_config import AssignmentConfig, LabelConfig
from rewardkit.store.labelling_tables import items, leases
from rewardkit.store.store import Store

ITEMS, OVERLAP, CLIENTS, KILLS = 60, 3, 4, 6
POLICY = AssignmentConfig(overlap=OVERLAP, most_overlap=OVERLAP, repeats=0.0, least_lease=1.0, lease_medians=0.0)
STUDY = Study("study", LabelConfig(least_seconds=0.0, assignment=POLICY))
CLIENT = f"""
import sys
from labeling_ui.answers import ComparisonAnswer
from labeling_ui.desk import Desk
from labeling_ui.people import People, Refused
from labeling_ui.study import Study
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Annotator
url, name = sys.argv[1:]
with Store.open(url) as store:
    desk = Desk(store, Study("study", LabelConfig.model_validate_json({STUDY.config.model_dump_json()!r})))
    people = People(store, "study")
    person = people.join("invitation", name, Annotator.of("human", name))
    people.keep(person, "consented", lambda _: desk.study.agreement)
    print("ready", flush=True)
    while lease := desk.next(person):
        try:
            recorded = desk.submit(lease.id, person, ComparisonAnswer(choice="tie"))
        except Refused:
            continue
        print(*recorded.ids.values(), flush=True)
"""


def start(url, name):
    return subprocess.Popen([sys.executable, "-c", CLIENT, url, name], stdout=subprocess.PIPE, text=True)


def rest(process):
    """Return what a process still says, and wait for its end."""
    with process:
        return process.stdout.readlines()


@pytest.mark.slow
def test_clients_that_are_killed_lose_nothing_and_take_nothing_twice(database_url, add_comparisons):
    with Store.open(database_url) as store:
        ids = add_comparisons(store, ITEMS)
        add_items(store, STUDY, ids.values())
    draws, acknowledged = random.Random(0), []
    running = {f"p{number}": start(database_url, f"p{number}") for number in range(CLIENTS)}
    for _ in range(KILLS):
        name = draws.choice(sorted(running))
        process = running[name]
        # Killed in the middle of its work: after some answers, wherever it then is.
        seen = [process.stdout.readline() for _ in range(draws.randrange(2, 8))]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [*seen, *rest(process)]
        running[name] = start(database_url, name)
    for process in running.values():
        acknowledged += rest(process)
        assert process.returncode == 0
    # The leases of the dead end; the same people come back for what is left.
    for _ in range(3):
        time.sleep(1.1)
        for name in running:
            last = start(database_url, name)
            acknowledged += rest(last)
            assert last.returncode == 0
    said = [line.strip() for line in acknowledged if line.strip() not in ("", "ready")]
    with Store.open(database_url) as store, store.reading() as connection:
        labels = list(store.labels())
        assert Counter(label.comparison_id for label in labels) == dict.fromkeys(ids, OVERLAP)
        assert max(Counter((label.comparison_id, label.annotator_id) for label in labels).values()) == 1
        assert len(said) == len(set(said)) and set(said) <= {label.id for label in labels}
        done = connection.execute(sa.select(leases.c.records).where(leases.c.state == "done")).scalars().all()
        assert sorted(each for records in done for each in records.values()) == sorted(label.id for label in labels)
        assert connection.execute(sa.select(sa.func.max(items.c.slots))).scalar_one() == 0
