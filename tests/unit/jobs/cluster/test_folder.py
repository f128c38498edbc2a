from __future__ import annotations

import pytest

from rewardkit.jobs.cluster.folder import ShardFolder
from rewardkit.jobs.cluster.worker import ShardWork
from rewardkit.jobs.keeping import Kept
from rewardkit.store.record_tables import write_rows
from rewardkit.store.rows import encode
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Label, Rating

JUDGE = Annotator.of("judge", "strict")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def labels(store, add_comparisons):
    ids = sorted(add_comparisons(store, 6))
    return [Label.of(item, JUDGE.id, choice="a", p_a=0.75, order_shown=order) for item in ids for order in ("ab", "ba")]


def test_what_is_said_is_added_kept_and_no_longer_asked(store, labels, tmp_path):
    folder, kept = ShardFolder(tmp_path / "shards", "labels", JUDGE), Kept()
    shard = folder.asked / "000000.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"")
    work = ShardWork("labels", shard, folder.said(shard), 6)
    write_rows("labels", work.to, map(encode, labels))
    folder.add(store, work, kept)
    assert sorted(store.labels(), key=lambda label: label.id) == sorted(labels, key=lambda label: label.id)
    assert kept.counts == {"labels ok": 12, "annotators": 1}
    assert not shard.exists() and not work.to.exists()
    assert [path.name for path in tmp_path.glob("shards/*/added/*")] == [work.to.name]
    folder.close()
    assert not folder.asked.exists()


def test_what_an_interrupted_run_left_is_taken_over_but_for_what_was_asked_again(store, labels, tmp_path):
    place, kept = tmp_path / "shards", Kept()
    left = ShardFolder(place, "labels", JUDGE)
    # A judge outlived its job, and says something else than who was asked again.
    twice = [Label.of(label.comparison_id, JUDGE.id, choice="b", order_shown=label.order_shown) for label in labels[:3]]
    write_rows("labels", left.said(tmp_path / "000001.parquet"), map(encode, [*labels[:5:-1], *twice]))
    left.asked.mkdir(parents=True)
    # One was killed while it wrote.
    (left.said(tmp_path / "000002.parquet")).with_name(".000002.parquet.7.part").write_bytes(b"PAR1")
    store.add([JUDGE, *labels[:3]])
    ShardFolder(place, "labels", JUDGE).add_what_was_said(store, kept)
    assert {label.id for label in store.labels()} == {label.id for label in [*labels[:3], *labels[6:]]}
    assert kept.counts["labels ok"] == 6 and not left.asked.exists()
    assert not list(place.glob("*/said/*")) and len(list(place.glob("*/added/*"))) == 1
    ShardFolder(place, "labels", Annotator.of("judge", "mild")).add_what_was_said(store, kept)
    assert kept.counts["labels ok"] == 6


def test_ratings_are_taken_over_likewise(store, labels, tmp_path):
    place, kept = tmp_path / "shards", Kept()
    one, other = list(store.ids("responses"))[:2]
    there = Rating.of(one, JUDGE.id, "wit", value=0.5, scale=(0, 1))
    again = Rating.of(one, JUDGE.id, "wit", value=0.25, scale=(0, 1))
    new = Rating.of(other, JUDGE.id, "wit", value=1.0, scale=(0, 1))
    store.add([JUDGE, there])
    folder = ShardFolder(place, "ratings", JUDGE)
    write_rows("ratings", folder.said(tmp_path / "000000.parquet"), map(encode, [again, new]))
    ShardFolder(place, "ratings", JUDGE).add_what_was_said(store, kept)
    assert {rating.id for rating in store.records("ratings")} == {there.id, new.id}
