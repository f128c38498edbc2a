"""`rewardkit simulate --size` and `--visit` from the command line: what they print, and what they refuse."""

from __future__ import annotations

import json
import re

import pytest

from labeling_ui.stock import add_items
from labeling_ui.study import Study
from rewardkit.config import load_config
from rewardkit.errors import ConfigError, DataError
from rewardkit.jobs import simulating
from rewardkit.label_config import LabelConfig
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Message, Prompt, Response

STUDY = {"items": 40, "budget": 12.0, "price": 0.1, "people": 6, "overlap": [1, 3], "replicates": 20}
HUMANS = [{"name": "h", "reliability": 50.0, "seconds": 60}, {"name": "k", "reliability": 50.0}]


@pytest.fixture
def write(tmp_path):
    """Write a config; return its path."""

    def config(**sections):
        settings = {"name": "planned", "workspace": str(tmp_path), **sections}
        path = tmp_path / "planned.yaml"
        path.write_text(json.dumps(settings))
        return path

    return config


def fill(folder, pairs, *, compared=True, study=None):
    """Add a prompt for each pair of metadata; return the ids of what is labelled together."""
    sets = []
    with Store.open(folder / "rewardkit.db") as store:
        for number, both in enumerate(pairs):
            prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
            found = [Response.of(prompt.id, f"{number} {at}", metadata=said) for at, said in enumerate(both)]
            store.add([prompt, *found])
            if compared:
                store.add([Comparison.of(prompt.id, *(each.id for each in found), source=f"s{number % 2}")])
            sets.append(tuple(sorted(each.id for each in found)))
        if study is not None:
            add_items(store, Study(study, LabelConfig()), sets)


def level(*levels):
    return [{"level": each} for each in levels]


def test_a_study_is_sized_before_there_is_anything(write, rewardkit):
    ended = rewardkit("simulate", write(simulate={"annotators": HUMANS, "study": STUDY}), "--size")
    assert ended.code == 0 and ended.err == ""
    assert "differences of level: stated: 0.5, 1, 2, one as frequent as the others" in ended.out
    rows = [line.split() for line in ended.out.splitlines() if line[:1].isdigit()]
    # 40 items: one label each is 4.00; three are 12.00, and with every tenth on gold 36 can be paid.
    assert [row[:5] for row in rows] == [
        ["1", "0%", "40", "40", "4.00"],
        ["1", "10%", "40", "44", "4.40"],
        ["3", "0%", "40", "120", "12.00"],
        ["3", "10%", "36", "120", "12.00"],
    ]
    assert "1.000 [1.000, 1.000] n = 40" in ended.out
    # Every column is explained below the table.
    heads, *_, legend = ended.out.split("\n\n")[1:]
    names = re.split(r"\s{2,}", heads.splitlines()[0])
    assert [re.split(r"\s{2,}", line)[0] for line in legend.splitlines()] == names and len(names) == 9


def test_sizes_as_json_say_their_n_and_what_they_rest_on(write, rewardkit):
    config = write(simulate={"annotators": [*HUMANS, {"name": "j", "kind": "judge"}], "study": STUDY})
    found = json.loads(rewardkit("simulate", config, "--size", "--json").out)
    assert found["people"] == 6 and found["studies simulated"] == 20 and "majority" in found["aggregate"]
    first, with_gold = found["designs"][:2]
    assert first["accuracy"]["n_items"] == 40 and first["accuracy"]["n_studies"] == 20
    assert first["accuracy_without"] is None and with_gold["left_out"] == {"rightly": 0, "wrongly": 0, "missed": 0}


def test_differences_come_from_the_comparisons_that_would_be_labelled(write, tmp_path):
    # Of the source s0 all are alike but one; of the other all differ.
    fill(tmp_path, [level(0, 0), level(0, 2), level(1, 3), level(0, 1)])
    config = write(simulate={"annotators": HUMANS, "study": STUDY}, label={"source": "s0"})
    found = simulating.size(load_config(config))
    assert found["differences of level"].startswith("2 comparisons in ")
    # One of two has a better response.
    assert found["designs"][0]["accuracy"]["n_items"] == 20
    assert simulating.size(load_config(config, ["label=null"]))["differences of level"].startswith("4 comparisons")


def test_what_the_page_makes_and_what_measures_annotators_is_not_sized(write, tmp_path):
    fill(tmp_path, [level(0, 2), level(1, 3)])
    with Store.open(tmp_path / "rewardkit.db") as store:
        prompts = list(store.prompts())
        for prompt, source in zip(prompts * 2, ("edits", "chat", "gold", "known"), strict=True):
            said = {"metadata": {"level": 1}} if source in ("gold", "known") else {}
            both = [Response.of(prompt.id, f"{source} {side}", **said) for side in "xy"]
            store.add([*both, Comparison.of(prompt.id, *(each.id for each in both), source=source)])
        pair = tuple(sorted(each.id for each in both))
        add_items(store, Study("planned", LabelConfig()), [pair], role="gold", expected={pair: "a"})
    config = write(simulate={"annotators": HUMANS, "study": STUDY}, label={"gold": {"source": "gold"}})
    assert simulating.size(load_config(config))["differences of level"].startswith("2 comparisons in ")


def test_differences_are_formed_where_nothing_is_compared_yet(write, tmp_path):
    fill(tmp_path, [level(0, 2), level(0, 1), level(1, 1)], compared=False)
    found = simulating.size(load_config(write(simulate={"annotators": HUMANS, "study": STUDY})))
    # Those that differ by a level at least, as the stage forms them.
    assert found["differences of level"].startswith("2 comparisons")


def test_data_without_any_level_leave_the_stated_distribution(write, tmp_path):
    fill(tmp_path, [[{}, {}]])
    found = simulating.size(load_config(write(simulate={"annotators": HUMANS, "study": STUDY})))
    assert found["differences of level"].startswith("stated")


def test_levels_of_some_texts_only_are_an_error(write, tmp_path):
    fill(tmp_path, [level(0, 2), [{"level": 1}, {}]])
    with pytest.raises(DataError, match="metadata.level"):
        simulating.size(load_config(write(simulate={"annotators": HUMANS, "study": STUDY})))


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({}, "no section 'simulate'"),
        ({"simulate": {"annotators": HUMANS}}, "no section 'simulate.study'"),
        ({"simulate": {"annotators": [{"name": "j", "kind": "judge"}], "study": STUDY}}, "all .* are judges"),
        ({"simulate": {"annotators": HUMANS, "study": STUDY}, "label": {"task": "ranking"}}, "ranking"),
    ],
)
def test_what_cannot_be_sized_is_one_clear_error(write, sections, says):
    with pytest.raises(ConfigError, match=says):
        simulating.size(load_config(write(**sections)))


def test_a_visit_is_planned_without_one(write, tmp_path, rewardkit):
    fill(tmp_path, [level(0, 1), level(1, 2)], study="planned")
    config = write(simulate={"annotators": HUMANS}, label={})
    url = "http://127.0.0.1:9/work/"
    ended = rewardkit("simulate", config, "--visit", url, "--people", 3, "--speed", 2, "--dry-run", "--json")
    # Six labels at 60, 30 and 60 s, by three people at twice the speed: 6 · 50 / 3 / 2 = 50 s.
    assert json.loads(ended.out) == {
        "page": "http://127.0.0.1:9",
        "people": "h-1, k-1, h-2",
        "labels wanted": 6,
        "minutes, about": 0.8,
    }


@pytest.mark.parametrize(
    ("pairs", "url", "settings", "says"),
    [
        ([level(0, 1)], "127.0.0.1:7860", [], "is no address"),
        ([level(0, 1)], "http://127.0.0.1:9", ["label=null"], "no section 'label'"),
        ([level(0, 1)], "http://127.0.0.1:9", ["name=another"], "has no items"),
        ([[{"level": 1}, {}]], "http://127.0.0.1:9", [], "metadata.level is None"),
    ],
)
def test_nobody_enters_where_something_is_missing(write, tmp_path, pairs, url, settings, says):
    fill(tmp_path, pairs, study="planned")
    config = load_config(write(simulate={"annotators": HUMANS}, label={}), settings)
    with pytest.raises((ConfigError, DataError), match=says):
        simulating.gather(config, url)


def test_one_text_of_two_levels_is_an_error(write, tmp_path):
    with Store.open(tmp_path / "rewardkit.db") as store:
        sets = []
        for number in (0, 1):
            prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
            same = Response.of(prompt.id, "the same joke", metadata={"level": number})
            other = Response.of(prompt.id, f"other {number}", metadata={"level": 3})
            store.add([prompt, same, other])
            sets.append((same.id, other.id))
        add_items(store, Study("planned", LabelConfig()), sets)
    with pytest.raises(DataError, match="one text is stated with two levels"):
        simulating.gather(load_config(write(simulate={"annotators": HUMANS}, label={})), "http://127.0.0.1:9")


def test_an_address_where_nobody_answers_is_one_error(write, tmp_path, rewardkit):
    fill(tmp_path, [level(0, 1)], study="planned")
    ended = rewardkit("simulate", write(simulate={"annotators": HUMANS}, label={}), "--visit", "http://127.0.0.1:9")
    assert ended.code == 1 and "does not answer" in ended.err and ended.err.count("error") == 1


@pytest.mark.parametrize("words", [("--people", 3), ("--speed", 2), ("--people", 3, "--size"), ("--speed", 1)])
def test_who_visits_is_stated_with_a_visit_only(write, rewardkit, words):
    ended = rewardkit("simulate", write(simulate={"annotators": HUMANS, "study": STUDY}), *words)
    assert ended.code == 2 and f"{words[0]}: it counts only for those who visit" in ended.err
    assert "--visit URL" in ended.err and "simulate.study.people" in ended.err


def test_a_page_that_takes_no_fast_answer_is_planned_for(write, tmp_path):
    fill(tmp_path, [level(0, 1), level(1, 2)], study="planned")
    config = load_config(write(simulate={"annotators": HUMANS}, label={"least_seconds": 20}))
    # Six labels by three people at 20 s each, as 60 s at a hundred times the speed would be too fast.
    party = simulating.gather(config, "http://127.0.0.1:9", people=3, speed=100)
    assert party.plan()["minutes, about"] == round(6 * 20 / 3 / 60, 1)


def test_visit_and_size_exclude_each_other(write, rewardkit):
    ended = rewardkit("simulate", write(simulate={"annotators": HUMANS}), "--visit", "http://x", "--size")
    assert ended.code == 2 and "exclude each other" in ended.err
