from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rewardkit.config import JobConfig, SplitConfig, TrainConfig, load_config
from rewardkit.config_errors import _section_of
from rewardkit.errors import ConfigError
from rewardkit.yaml_files import read_yaml


@pytest.fixture
def save(tmp_path):
    def write(text):
        path = tmp_path / "job.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_defaults_then_file_then_overrides(save):
    path = save("seed: 3\ntrain:\n  epochs: 2\n  lora: {r: 4}\n")
    config = load_config(path, ["train.lora.r=8", "train.model=org/name", "aggregate.split.by=text"])
    assert (config.name, config.seed) == ("default", 3)
    assert (config.train.epochs, config.train.batch_size) == (2.0, 8)
    assert (config.train.lora.r, config.train.lora.alpha, config.train.model) == (8, 32, "org/name")
    assert config.aggregate.split.by == "text" and config.judge is None


@pytest.mark.parametrize(
    ("override", "value"),
    [("seed=7", 7), ("db=null", None), ("db='7'", "7"), ("db=a=b", "a=b"), ("workspace=x/y", Path("x/y"))],
)
def test_an_overrides_value_is_yaml(save, override, value):
    config = load_config(save(""), [override])
    assert getattr(config, override.partition("=")[0]) == value


def test_an_override_makes_the_sections_it_needs(save):
    assert load_config(save(""), ["calibrate={}"]).calibrate.method == "temperature"
    # A section of which nothing is said has its defaults; only an override leaves it out.
    assert load_config(save("train:\n")).train == TrainConfig()
    assert load_config(save("train: {epochs: 2}"), ["train=null"]).train is None


def test_an_override_reaches_a_lists_members(save):
    path = save("judge: {rubric: joke, panel: [{name: one, model: x}, {name: two, model: y}]}\nimport: {files: [a, b]}")
    config = load_config(path, ["judge.panel.1.model=z", "import.files.0=c"])
    assert [each.model for each in config.judge.members()] == ["x", "z"] and config.import_.files == ("c", "b")
    assert "there is no member '2'\n  expected: a number from 0 to 1" in refusal(path, "judge.panel.2.model=z")
    assert "there is no member 'model'" in refusal(path, "judge.panel.model=z")
    assert "'0' is not a section" in refusal(path, "import.files.0.x=z")
    assert "the list is empty" in refusal(save("import: {files: []}"), "import.files.0=z")


def test_one_file_needs_no_list(save):
    assert load_config(save("import: {files: a.jsonl}")).import_.files == ("a.jsonl",)


def test_what_is_misspelt_is_named_before_what_is_missing_and_where_it_came_from(save):
    with pytest.raises(ConfigError, match=r"unknown key 'import\.file'"):
        load_config(save("import: {file: [a]}"))
    with pytest.raises(ConfigError) as caught:
        load_config(save(""), ["train.epoch=2"])
    assert caught.value.where == "--set train.epoch=2" and "epochs" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sed: 1", "job.yaml: unknown key 'sed'\n  expected: name, workspace, db, seed, import, generate, simulate"),
        ("sed: 1", "did you mean 'seed'?"),
        ("train: {lora: {rank: 3}}", "unknown key 'train.lora.rank'\n  expected: r, alpha, dropout, target_modules"),
        ("simulate: {annotators: [{name: x, lapsed: 1}]}", "did you mean 'lapse'?"),
        ("import: {files: [a], pairs: {criterion: c, block: 3}}", "did you mean 'block_size'?"),
        ("qqq: 1", "unknown key 'qqq'"),
        ("seed: soon", "seed: Input should be a valid integer"),
        ("seed: soon", "got 'soon'"),
        ("import: {}", "the key 'import.files' is missing"),
        ("import: {files: []}", "import.files"),
        ("train: {epochs: 0}", "train.epochs: Input should be greater than 0"),
        ("train: {epochs: .inf}", "train.epochs"),
        ("train: {too_long: cut}", "truncate_prompt"),
        ("aggregate: {human_reliability: 0.5}", "greater than 0.5"),
        ("name: ../up", "name"),
        ("name: .hidden", "name"),
        ("name: ''", "name"),
        ("seed: -1", "seed: Input should be greater than or equal to 0"),
        ("seed: 4294967296", "seed"),
        ("evaluate: {report: report.pdf}", "evaluate.report"),
        ("evaluate: {report: a/b.html}", "evaluate.report"),
        ("evaluate: {report: .html}", "evaluate.report"),
        ("train: {weight_decay: .nan}", "train.weight_decay: Input should be a finite number"),
        ("simulate: {annotators: [{name: x, reliability: .inf}]}", "simulate.annotators.0.reliability"),
        ("simulate: {annotators: [{name: x}], min_level_difference: .nan}", "min_level_difference"),
        ("aggregate: {split: {train: 0.9}}", "must sum to 1, and sum to 1.3"),
        ("seed: a\ntrain: {epochs: b}", "(and 1 more)"),
        ("judge: {orders: [aa]}", "judge.orders.0"),
        # A key that stands further below is meant before one that is like it.
        ("label: {overlap: 3}", "did you mean 'label.assignment.overlap'?"),
        ("overlap: 3", "did you mean 'simulate.study.overlap' or 'label.assignment.overlap'?"),
        ("simulate: {annotators: [{name: x}], spam: first}", "did you mean 'simulate.annotators[].spam'?"),
        ("label: {assignment: {task: rating}}", "'label.task'"),
        ("calibrate: {loss: x}", "did you mean 'train.loss'?"),
        # In our own words, and with a form that people know.
        ("evaluate: {report: report.pdf}", "form that is expected, got 'report.pdf'\n  expected: such as report.html"),
        ("label: {webhook: ftp://x}", "such as https://example.org/finished"),
        ("aggregate: {split: {train: 0.9}}", "aggregate.split: the four fractions"),
    ],
)
def test_a_wrong_config_is_named_where_it_is_wrong(save, text, says):
    assert says in refusal(save(text))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff", "cannot be read"),
        (b"a: [", "not valid YAML"),
        (b"a: 1\na: 2", "key 'a' is given twice"),
        (b"train: {r: 1, r: 2}", "key 'r' is given twice"),
        (b"- a", "not a mapping"),
        (b"? [a]\n: 1", "a key is a list or mapping"),
        (b"{a: 1}: 2", "a key is a list or mapping"),
        (b"seed: 2024-13-45", "not valid YAML"),
        (b"a: " + b"[" * 5000, "not valid YAML"),
        (b"!!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_config(save, content, says):
    assert says in refusal(save(content))


def test_every_form_that_is_checked_has_an_example():
    def fields(section):
        for field in section.model_fields.values():
            yield field
            inner = _section_of(field.annotation)
            yield from fields(inner) if inner else ()

    checked = [(field, rule.pattern) for field in fields(JobConfig) for rule in field.metadata if _pattern_of(rule)]
    assert len(checked) >= 4
    for field, pattern in checked:
        assert field.examples and all(re.search(pattern, each) for each in field.examples)


def _pattern_of(rule):
    return getattr(rule, "pattern", None)


def test_a_missing_file_and_a_folder(tmp_path):
    assert "does not exist" in refusal(tmp_path / "gone.yaml")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("override", ["seed", "=1", "", "seed.x=1", "seed={", "sede=1"])
def test_a_wrong_override(save, override):
    refusal(save("seed: 1"), override)


def test_an_empty_file_is_an_empty_config(save):
    assert read_yaml(save("")) == {} and load_config(save("# nothing")) == JobConfig()


def test_configs_are_frozen():
    with pytest.raises(ValidationError):
        JobConfig().seed = 4


def test_the_database_is_in_the_workspace_unless_named():
    assert JobConfig(workspace="w").database == str(Path("w/rewardkit.db"))
    assert JobConfig(workspace="w", db="postgresql://h/n").database == "postgresql://h/n"


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_splits_sum_to_one_or_are_refused(parts):
    shares = dict(zip(("train", "validation", "calibration", "test"), (p / 100 for p in parts), strict=True))
    if sum(parts) == 100:
        assert SplitConfig(**shares).test == parts[3] / 100
    else:
        with pytest.raises(ValidationError, match="must sum to 1"):
            SplitConfig(**shares)


SECRET = "s3cr:et/@x"


@pytest.mark.parametrize(
    ("db", "shown"),
    [
        (f"postgresql://me:{SECRET}@host:5432/name", "postgresql://me:***@host:5432/name"),
        ("postgresql://:s3cr@host/name", "postgresql://:***@host/name"),
        ("postgresql://host/name?user=me&password=s3cr&x=1", "postgresql://host/name?user=me&password=***&x=1"),
        ("postgresql://me@host:5432/name", "postgresql://me@host:5432/name"),
        ("a:b@c.db", "a:b@c.db"),
    ],
)
def test_no_password_is_written(db, shown):
    config = JobConfig(db=db)
    assert config.database == db
    assert config.shown_database == shown and config.resolved()["db"] == shown
    assert "s3cr" not in str(config.resolved())


def test_a_config_without_a_database_is_written_as_it_is():
    assert JobConfig(train={}).resolved()["train"]["lora"]["r"] == 16 and "db" not in JobConfig().resolved()


@given(st.integers(0, 2**32 - 1), st.from_regex(r"[abz_09-][abz._09-]*", fullmatch=True), st.booleans())
def test_a_dumped_config_loads_as_the_same(seed, name, with_train):
    config = JobConfig.model_validate({"seed": seed, "name": name, "train": {} if with_train else None})
    assert JobConfig.model_validate(config.resolved()) == config
