from __future__ import annotations

import pytest

from rewardkit.errors import DataError
from rewardkit.judge.shards import cut_pairs, cut_ratings, read_pairs, read_ratings
from rewardkit.store.rows import RatedTexts


def test_shards_hold_all_comparisons_and_what_is_there_of_them(texts, tmp_path):
    items = [texts(prompt=f"Prompt {n} ü") for n in range(7)]
    keys = [[(item.comparison.id, "ab", 0)] if n % 3 == 0 else [] for n, item in enumerate(items)]
    paths = list(cut_pairs(zip(items, keys, strict=True), tmp_path / "asked", 3))
    assert [path.name for path in paths] == ["000000.parquet", "000001.parquet", "000002.parquet"]
    shards = [read_pairs(path) for path in paths]
    assert [len(shard.items) for shard in shards] == [3, 3, 1]
    found = [(each.comparison, each.prompt, each.response_a, each.response_b) for s in shards for each in s.items]
    assert found == [(each.comparison, each.prompt, each.response_a, each.response_b) for each in items]
    assert [shard.already for shard in shards] == [frozenset(map(tuple, sum(keys[n : n + 3], []))) for n in (0, 3, 6)]


def test_shards_are_cut_as_they_are_asked_for(texts, tmp_path):
    read = []

    def items():
        for n in range(100):
            read.append(n)
            yield texts(prompt=f"Prompt {n}"), []

    shards = cut_pairs(items(), tmp_path / "asked", 5)
    assert next(shards).exists() and len(read) == 5 and len(list((tmp_path / "asked").iterdir())) == 1


def test_responses_are_cut_likewise(texts, tmp_path):
    rated = [RatedTexts(each.response, each.prompt) for each in (texts(first=f"A cat {n}.") for n in range(3))]
    keys = [[(rated[0].response.id, "wit", 0), (rated[0].response.id, "clarity", 0)], [], []]
    (path,) = cut_ratings(zip(rated, keys, strict=True), tmp_path, 5)
    shard = read_ratings(path)
    assert shard.items == rated and shard.already == frozenset(keys[0])


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path):
    with pytest.raises(DataError, match="on a disk that all nodes of the cluster share"):
        read_pairs(tmp_path / "000000.parquet")
