"""Options of `rewardkit import`, through the command line: names of columns, and how ratings become pairs."""

from __future__ import annotations

import json

import pytest

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


@pytest.mark.parametrize("value", ["inf", "1e999", "nan"])
def test_a_difference_that_is_no_finite_number(refused, here, value):
    (here / "rows.jsonl").write_text("{}")
    options = ("--pairs", "wit", "--min-difference", value)
    refused("import", "rows.jsonl", "--to", "x.db", *options, says=("--min-difference", "Input should be", "fix: "))


def test_a_survey_whose_winner_is_named_by_its_column(rewardkit, here):
    (here / "survey.csv").write_text("question,left,right,winner\np,x,y,left\nq,x,y,right\nr,x,y,tie\ns,x,y,up\n")
    mapping = ("prompt=question", "response_a=left", "response_b=right", "preference=winner")
    options = [word for pair in mapping for word in ("--map", pair)]
    ended = rewardkit("import", "survey.csv", "--to", "my.db", "--json", *options)
    assert ended.code == 0 and json.loads(ended.out)["rejected"] == 1
    with Store.open("my.db", create=False) as store:
        texts = {c.comparison.id: c for c in store.comparisons()}
        said = {}
        for label in store.labels():
            c = texts[label.comparison_id]
            winner = {"a": c.response_a.text, "b": c.response_b.text}.get(label.choice, label.choice)
            said[c.prompt.messages[0].content] = winner
    assert said == {"p": "x", "q": "y", "r": "tie"}


def test_the_split_of_the_users_own_file_is_that_of_the_pipeline(rewardkit, write, here):
    folds = ("train", "validation", "calibration", "test", None)
    said = {"annotator": "ann", "source": "human", "preference": 1.0}
    rows = [
        {"prompt": f"{n}", "response_a": "x", "response_b": f"y{n}", "labels": [said], "fold": folds[n % 5]}
        for n in range(100)
    ]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert rewardkit("import", "rows.jsonl", "--to", "my.db", "--map", "split=fold").code == 0
    job = write({"name": "mine", "workspace": "w", "db": "my.db", "aggregate": {}})
    ended = rewardkit("aggregate", job)
    assert ended.code == 0, ended.err
    lines = (here / "w/runs/mine/aggregate/preferences.jsonl").read_text().splitlines()
    found = {example["prompt"][0]["content"]: example["preference"]["split"] for example in map(json.loads, lines)}
    set_ = {row["prompt"]: row["fold"] for row in rows if row["fold"]}
    assert len(set_) == 80 and {prompt: found[prompt] for prompt in set_} == set_
    # The others are drawn, as ever.
    assert len(set(found.values())) == 4 and len(found) == 100
    # The same comparisons with other splits are other data, also where their ids are the same.
    for row in rows:
        row["fold"] = folds[(int(row["prompt"]) + 1) % 5]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (here / "my.db").unlink()
    assert rewardkit("import", "rows.jsonl", "--to", "my.db", "--map", "split=fold").code == 0
    assert "complete and unchanged" not in rewardkit("aggregate", job).err


def test_an_import_says_what_it_did_not_use_and_why_it_rejected(rewardkit, here):
    rows = [{"prompt": "p", "response_a": f"a{n}", "response_b": f"b{n}", "label": 1, "who": "x"} for n in range(3)]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows, {**rows[0], "response_b": ""}])))
    ended = rewardkit("import", "rows.jsonl", "--to", "my.db")
    assert ended.code == 0
    assert "columns that are not used: label, who" in ended.err and "no labels in it" in ended.err
    assert "rejected most often because: response_b is empty (1 times)" in ended.out


def test_what_came_again_is_labels_and_not_what_they_share(rewardkit, here):
    rows = [
        {"prompt": f"p{n}", "response_a": "x", "response_b": "y", "preference": "a", "annotator": who}
        for n in range(5)
        for who in ("ann", "ben")
    ]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    again = "already there or given twice"
    first = rewardkit("import", "rows.jsonl", "--to", "my.db")
    assert "labels 10" in first.out and again not in first.out
    assert f"{again}: labels 10\n" in rewardkit("import", "rows.jsonl", "--to", "my.db").out
    # Where nobody has labelled, it is comparisons; where nothing is compared, responses.
    bare = [{name: row[name] for name in ("prompt", "response_a", "response_b")} for row in rows]
    (here / "bare.jsonl").write_text("\n".join(map(json.dumps, bare)))
    assert f"{again}: comparisons 5\n" in rewardkit("import", "bare.jsonl", "--to", "bare.db").out
    single = [{"prompt": "p", "response": text} for text in "aab"]
    (here / "single.jsonl").write_text("\n".join(map(json.dumps, single)))
    assert f"{again}: responses 1\n" in rewardkit("import", "single.jsonl", "--to", "single.db").out


def test_an_implicit_prompt_is_told(rewardkit, here):
    (here / "pairs.jsonl").write_text(json.dumps({"chosen": "Say x: yes", "rejected": "Say x: no"}))
    assert "no column prompt" in rewardkit("import", "pairs.jsonl", "--to", "my.db").err


def test_an_annotator_may_be_a_number(rewardkit, here):
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "preference": "a", "annotator": 17}
    (here / "rows.jsonl").write_text(json.dumps(row))
    assert rewardkit("import", "rows.jsonl", "--to", "my.db").code == 0
    with Store.open("my.db") as store:
        assert [annotator.name for annotator in store.annotators().values()] == ["17"]


def test_ratings_in_another_layout_are_shown_the_right_one(refused, here):
    (here / "flat.jsonl").write_text(json.dumps({"prompt": "p", "response": "r", "quality": 3}))
    refused("import", "flat.jsonl", "--to", "my.db", "--pairs", "quality", says='"criteria": {"quality": 4}')
