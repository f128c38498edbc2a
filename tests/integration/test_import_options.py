"""Options of `rewardkit import`, through the command line: how ratings become pairs."""

from __future__ import annotations

import json

from rewardkit.store.store import Store


def test_blocks_of_a_chosen_size(rewardkit, here):
    score = {"annotator": "ann", "source": "human", "scale": [0, 10]}
    rows = [{"prompt": "p", "response": f"text {n}", "scores": [{**score, "criteria": {"wit": n}}]} for n in range(6)]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = {}
    for size in ("2", "3", "6"):
        ended = rewardkit("import", "rows.jsonl", "--to", f"{size}.db", "--pairs", "wit", "--block-size", size)
        assert ended.code == 0, ended.err
        with Store.open(f"{size}.db", create=False) as store:
            pairs[size] = store.counts()["comparisons"]
    # 3 blocks of one pair, 2 of three, 1 of fifteen.
    assert pairs == {"2": 3, "3": 6, "6": 15}


def test_a_block_of_one(refused, here):
    (here / "rows.jsonl").write_text("{}")
    refused("import", "rows.jsonl", "--to", "x.db", "--pairs", "wit", "--block-size", "1", says="block")
