"""What must come out the same: an export that is imported elsewhere, and a file whose responses are swapped."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.config import ImportConfig
from rewardkit.jobs.labels import import_into
from rewardkit.store.exporting import majorities
from rewardkit.store.store import Store

KINDS = ("prompts", "responses", "comparisons", "annotators", "labels", "ratings", "external_ids")
OTHER = {"a": "b", "b": "a", "ab": "ba", "ba": "ab", "tie": "tie", "both_bad": "both_bad"}


def contents(path):
    """Return every record as it is stored."""
    with Store.open(path, create=False) as store:
        return {name: sorted(record.model_dump_json() for record in store.records(name)) for name in KINDS}


def test_an_export_imported_elsewhere_aggregates_to_the_same(rewardkit, settings, write, finished, here):
    assert rewardkit("export", "w/rewardkit.db", "all.jsonl").code == 0
    ended = rewardkit("import", "all.jsonl", "--to", "elsewhere/copy.db", "--json")
    assert ended.code == 0 and json.loads(ended.out)["rejected"] == 0
    assert contents("elsewhere/copy.db") == contents("w/rewardkit.db")
    job = write(settings)
    assert rewardkit("aggregate", job, "--set", "workspace=elsewhere", "--set", "db=elsewhere/copy.db").code == 0
    ours, theirs = (here / w / "runs/small/aggregate/preferences.jsonl" for w in ("w", "elsewhere"))
    assert theirs.read_bytes() == ours.read_bytes()
    again = json.loads(rewardkit("import", "all.jsonl", "--to", "elsewhere/copy.db", "--json").out)
    assert again["added"] == {}


def chosen(path):
    """Return what most labels of each comparison say, by the texts compared."""
    with Store.open(path, create=False) as store:
        return {(c.comparison.id, c.response_a.text, c.response_b.text): said for c, said in majorities(store)}


def test_an_export_for_trl_comes_back_as_the_same_majorities(rewardkit, finished, here):
    exported = json.loads(rewardkit("export", "w/rewardkit.db", "trl.jsonl", "--format", "trl", "--json").out)
    assert rewardkit("import", "trl.jsonl", "--to", "trl.db").code == 0
    before, after = chosen("w/rewardkit.db"), chosen("trl.db")
    # Only what a majority decided is written; of it every direction comes back, and both are met.
    assert after == {key: winner for key, winner in before.items() if winner in ("a", "b")}
    assert len(after) == exported["written"]["comparisons"] and set(after.values()) == {"a", "b"}


# Eighths, so that 1 − (1 − p) is p again.
SHARES = st.integers(0, 8).map(lambda n: n / 8)
ORDERS = st.sampled_from([None, "ab", "ba"])
LABELS = st.fixed_dictionaries(
    {"annotator": st.sampled_from(["ann", "bob"]), "source": st.sampled_from(["human", "judge"]), "preference": SHARES},
    optional={"order": st.sampled_from(["ab", "ba"]), "strength": st.integers(1, 3), "repeat": st.integers(0, 1)},
)
TEXTS = st.text(alphabet="abc é\n", min_size=1, max_size=5).filter(str.strip)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from(["", "Tell a joke.", "Why?"]),
            "responses": st.lists(TEXTS, min_size=2, max_size=2, unique=True),
            "labels": st.lists(LABELS, max_size=3),
            "meta": st.fixed_dictionaries({}, optional={"system_a": TEXTS, "score_b": st.integers(), "note": TEXTS}),
        },
        optional={
            "model_a": st.sampled_from(["m", "n"]),
            "model_b": st.sampled_from(["m", "n"]),
            "split": st.sampled_from(["train", "test"]),
        },
    ),
    min_size=1,
    max_size=6,
)


def plain(row):
    kept = {key: value for key, value in row.items() if key != "responses"}
    return {**kept, "response_a": row["responses"][0], "response_b": row["responses"][1]}


def swapped_name(key):
    return key[:-1] + OTHER[key[-1]] if key.endswith(("_a", "_b")) else key


def swapped(row):
    """The same row with its responses, and all that speaks of a side, the other way round."""
    found = {swapped_name(key): value for key, value in row.items()}
    found["meta"] = {swapped_name(key): value for key, value in row["meta"].items()}
    found["labels"] = [
        {
            **label,
            "preference": 1 - label["preference"],
            **({"order": OTHER[label["order"]]} if "order" in label else {}),
        }
        for label in row["labels"]
    ]
    return found


@given(rows=ROWS, swaps=st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_swapping_the_responses_in_the_file_gives_the_same_store(tmp_path_factory, rows, swaps):
    folder = tmp_path_factory.mktemp("swap")
    before = [plain(row) for row in rows]
    after = [swapped(row) if swap else row for row, swap in zip(before, swaps, strict=False)]
    for name, items in (("before", before), ("after", after)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
        config = ImportConfig(files=(str(folder / f"{name}.jsonl"),), source="same")
        import_into(str(folder / f"{name}.db"), config, folder / f"{name}.rejects.jsonl")
    assert contents(folder / "after.db") == contents(folder / "before.db")


def test_swapping_a_choice_in_words_gives_the_same_store(here):
    row = {
        "prompt": "Why?",
        "response_a": "Yes.",
        "response_b": "No.",
        "choice": "a",
        "order": "ba",
        "annotator": "ann",
    }
    other = {**row, "response_a": "No.", "response_b": "Yes.", "choice": "b", "order": "ab"}
    for name, item in (("one", row), ("other", other)):
        (here / f"{name}.jsonl").write_text(json.dumps(item))
        import_into(f"{name}.db", ImportConfig(files=(f"{name}.jsonl",), source="same"), here / "rejects.jsonl")
    assert contents("one.db") == contents("other.db")
