from __future__ import annotations

import pytest

from rewardkit.jobs.cluster.folder import ShardFolder
from rewardkit.jobs.cluster.ledger import Bounds, Ledger
from rewardkit.jobs.cluster.unrecorded import Unrecorded
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


def test_what_two_interrupted_runs_said_of_the_same_is_there_once_and_paid_once(store, labels, tmp_path):
    place, kept = tmp_path / "shards", Kept()
    fields = [(label.comparison_id, JUDGE.id) for label in labels[::2]]
    failed = [Label.of(*ids, status="failed", reason="noise", order_shown="ab", cost=0.5) for ids in fields[:1]]
    first = [Label.of(*ids, choice="a", order_shown="ab", cost=1.0) for ids in fields]
    second = [Label.of(*ids, choice="b", order_shown="ab", cost=2.0) for ids in fields]
    ledger = Ledger(Bounds(None, 0.0, (JUDGE.id,), 0.2, place, tmp_path / "answers.db"))
    for said in ([*failed, *first[1:]], [first[0], *second[1:]]):
        file = ShardFolder(place, "labels", JUDGE).said(tmp_path / "000000.parquet")
        ledger.takes("one", file)
        for label in said:
            ledger.settle("one", 0.0, label.cost)
        write_rows("labels", file, map(encode, said))
    # The machine goes down here: the files are there, and nobody has heard of it.
    ledger.close()
    ShardFolder(place, "labels", JUDGE).add_what_was_said(store, kept)
    there = list(store.labels())
    assert sorted((each.comparison_id, each.order_shown) for each in there) == sorted((i, "ab") for i, _ in fields)
    assert {each.status for each in there} == {"ok"} and first[0] in there and kept.counts["labels ok"] == 6
    # All that was paid is known, once: by labels, or as spent on those that came twice.
    paid = 0.5 + 6 * 1.0 + 5 * 2.0
    assert store.spent(JUDGE.id) + Unrecorded(place).of([JUDGE.id]) == paid


def test_what_was_added_before_the_job_died_is_not_paid_again(store, labels, tmp_path):
    place = tmp_path / "shards"
    folder = ShardFolder(place, "labels", JUDGE)
    paid = [label.model_copy(update={"cost": 1.0}) for label in labels]
    file = folder.said(tmp_path / "000000.parquet")
    write_rows("labels", file, map(encode, paid))
    noted = Unrecorded(place)
    noted.add(noted.key(file), 12.0)
    noted.write()
    store.add([JUDGE, *paid])
    ShardFolder(place, "labels", JUDGE).add_what_was_said(store, Kept())
    assert store.spent(JUDGE.id) == 12.0 and Unrecorded(place).of([JUDGE.id]) == 0.0


def test_ratings_are_taken_over_likewise(store, labels, tmp_path):
    place, kept = tmp_path / "shards", Kept()
    one, other = list(store.ids("responses"))[:2]
    there = Rating.of(one, JUDGE.id, "wit", value=0.5, scale=(0, 1))
    again = Rating.of(one, JUDGE.id, "wit", value=0.25, scale=(0, 1), metadata={"cost": 0.5})
    new = Rating.of(other, JUDGE.id, "wit", value=1.0, scale=(0, 1))
    store.add([JUDGE, there])
    folder = ShardFolder(place, "ratings", JUDGE)
    write_rows("ratings", folder.said(tmp_path / "000000.parquet"), map(encode, [again, new]))
    ShardFolder(place, "ratings", JUDGE).add_what_was_said(store, kept)
    assert {rating.id for rating in store.records("ratings")} == {there.id, new.id}
    assert Unrecorded(place).of([JUDGE.id]) == 0.5
