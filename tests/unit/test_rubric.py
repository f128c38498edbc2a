from __future__ import annotations

import pytest

from rewardkit.errors import ConfigError
from rewardkit.rubric import CHECKOUT, Rubric, load_rubric, rubric_names

VALID = """
name: short
version: "2"
description: Which is shorter?
criteria:
  - {name: brevity, description: It is short., anchors: {1: long, 5: short}}
"""


@pytest.mark.parametrize("name", sorted(path.stem for path in CHECKOUT.glob("*.yaml")))
def test_the_shipped_rubrics_are_valid(name):
    rubric = load_rubric(name)
    assert rubric.name == name
    assert all(bool(criterion.anchors) != bool(criterion.check) for criterion in rubric.criteria)


def test_a_rubric_is_found_in_the_working_directory_first(tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "rubrics"
    folder.mkdir(parents=True)
    (folder / "short.yaml").write_text(VALID)
    monkeypatch.chdir(tmp_path)
    assert load_rubric("short").version == "2"
    assert {"short", "fiction"} <= set(rubric_names())


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'fiction'") as caught:
        load_rubric("fictoin")
    assert "joke" in str(caught.value)


def test_a_path_is_taken_as_it_is(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(VALID)
    assert load_rubric(str(path)).scale == (1.0, 5.0)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("anchors:", "ankers:", "criteria.0.ankers"),
        ("5: short", "7: short", "not on the scale"),
        ("description: Which", "scale: [5, 1]\ndescription: Which", "must rise"),
        ("criteria:\n", "criteria:\n  - {name: brevity, description: Again.}\n", "same name"),
        ("5: short", "5: short, 5: brief", "given twice"),
        ("criteria:", "- criteria:", "not valid YAML"),
        ("{1: long, 5: short}", "{1: long}, weight: 0", "counts for nothing"),
        ("anchors: {1: long, 5: short}", "check: {name: wrods}", "unknown name 'wrods'"),
        ("anchors: {1: long, 5: short}", "check: {name: words, lest: 2}", "unexpected keyword argument 'lest'"),
        ("anchors: {1: long, 5: short}", "check: {name: words, most: 2}", "nothing is left to judge"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path, old, new, complaint):
    path = tmp_path / "bad.yaml"
    path.write_text(VALID.replace(old, new))
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_rubric(str(path))
    assert caught.value.where == str(path)


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_rubric(str(tmp_path / "none.yaml"))


def test_the_hash_changes_with_the_wording(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(VALID)
    before = load_rubric(str(path)).content_hash
    path.write_text(VALID.replace("It is short.", "It is very short."))
    assert load_rubric(str(path)).content_hash != before


def test_heavier_criteria_come_first(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(VALID + "  - {name: wit, description: It is witty., weight: 2}\n")
    assert [criterion.name for criterion in load_rubric(str(path)).by_weight()][0] == "wit"


def hybrid(**scale):
    criteria = [
        {"name": "wit", "description": "It is witty.", "weight": 3},
        {"name": "haste", "description": "It is hasty.", "weight": -1},
        {"name": "brevity", "description": "It is short.", "weight": 2, "check": {"name": "words", "most": 3}},
    ]
    return Rubric(name="r", version="1", description="?", criteria=criteria, **scale)


def test_what_counts_against_a_response_says_so_and_what_code_decides_is_asked_of_nobody():
    rubric = hybrid()
    assert [criterion.name for criterion in rubric.by_weight()] == ["wit", "haste"]
    assert [criterion.name for criterion in rubric.checked()] == ["brevity"]
    assert rubric.by_weight()[1].said == "It is hasty. (This counts against a response.)"
    assert rubric.checked()[0].check.run()("one two three") == 1.0


def test_the_overall_rating_weighs_and_turns_what_counts_against():
    rubric = hybrid(scale=(0, 10))
    assert rubric.overall({"wit": 10.0, "haste": 0.0, "brevity": 10.0}) == 10.0
    assert rubric.overall({"wit": 0.0, "haste": 10.0, "brevity": 0.0}) == 0.0
    # What does not apply, or was not rated, counts for nothing.
    assert rubric.overall({"wit": 8.0, "haste": None}) == 8.0
    assert rubric.overall({"wit": 8.0, "haste": 4.0}) == pytest.approx((3 * 8 + 1 * 6) / 4)
    assert rubric.overall({}) is None
