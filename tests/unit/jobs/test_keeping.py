from __future__ import annotations

import time
from collections import Counter

import pytest

from rewardkit.errors import DataError
from rewardkit.jobs import keeping
from rewardkit.jobs.keeping import Keeper, Kept
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Rating

JUDGE = Annotator.of("judge", "strict")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def keeper(store):
    """Keep records: `with keeper() as kept: kept.keep(record)`; `told` is what progress was told."""

    def build():
        told.clear()
        return Keeper(store, build.kept, lambda count=1, note="": told.append((count, note)))

    told = build.told = []
    build.kept = Kept()
    return build


@pytest.fixture
def labels(store, add_comparisons):
    ids = sorted(add_comparisons(store, 12))
    return [Label.of(item, JUDGE.id, choice="a", cost=0.25, order_shown="ab") for item in ids]


def stored(store):
    return {label.id for label in store.labels()}


def test_what_was_said_is_committed_although_nothing_more_is_said(store, keeper, labels):
    with keeper() as open_keeper:
        open_keeper.keep(JUDGE)
        open_keeper.keep(labels[0])
        end = time.monotonic() + 20
        while not stored(store) and time.monotonic() < end:
            time.sleep(0.02)
        assert stored(store) == {labels[0].id}


def test_an_interruption_leaves_all_that_was_said(store, keeper, labels):
    with pytest.raises(KeyboardInterrupt), keeper() as open_keeper:
        for record in (JUDGE, *labels):
            open_keeper.keep(record)
        raise KeyboardInterrupt
    assert stored(store) == {label.id for label in labels}


def test_a_judge_that_says_nothing_leaves_not_even_its_name(store, keeper):
    with keeper() as open_keeper:
        open_keeper.keep(JUDGE)
        time.sleep(1.2 * keeping.SECONDS)
    assert store.counts()["annotators"] == 0 and not keeper.kept.counts


def test_answers_failures_and_money_are_counted(store, keeper, labels):
    failed = Label.of(labels[0].comparison_id, JUDGE.id, status="failed", reason="silence", cost=0.5)
    response = next(store.responses())
    rating = Rating.of(response.id, JUDGE.id, "wit", value=1.0, scale=(0, 1), metadata={"cost": 0.125})
    with keeper() as open_keeper:
        for record in (JUDGE, *labels, failed, rating):
            open_keeper.keep(record)
    assert keeper.kept.counts == Counter({"labels ok": 12, "labels failed": 1, "ratings ok": 1, "annotators": 1})
    assert keeper.kept.cost == 12 * 0.25 + 0.5 + 0.125
    assert sum(count for count, _ in keeper.told) == 14 and keeper.told[-1][1] == "1 failed, 3.625 paid"


def test_a_judge_that_is_faster_than_the_disk_commits_itself(store, keeper, labels, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_WAITING", 5)
    monkeypatch.setattr(keeping, "SECONDS", 1000)
    with keeper() as open_keeper:
        for record in (JUDGE, *labels[:3]):
            open_keeper.keep(record)
        assert not stored(store)
        open_keeper.keep(labels[3])
        assert len(stored(store)) == 4


def test_what_the_store_refuses_is_told(store, keeper):
    stray = Label.of("no such comparison", JUDGE.id, choice="a")
    with pytest.raises(DataError, match="names another that is not in the store"), keeper() as open_keeper:
        open_keeper.keep(JUDGE)
        open_keeper.keep(stray)
    with pytest.raises(DataError), keeper() as open_keeper:
        open_keeper.keep(stray)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            time.sleep(0.02)
            open_keeper.keep(JUDGE)
    assert time.monotonic() < end
