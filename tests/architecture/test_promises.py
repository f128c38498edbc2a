"""What README, configs and the rules of the house promise."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import typer

from labeling_ui.study import Study
from rewardkit.cli import app
from rewardkit.config import load_config
from rewardkit.jobs.pipeline import STAGES, stages_of
from rewardkit.rubric import load_rubric

ROOT = Path(__file__).parents[2]
CONFIGS = sorted([*(ROOT / "configs").glob("*.yaml"), *(ROOT / "benchmarks").glob("*.yaml")])
MODULES = sorted((ROOT / "rewardkit").rglob("*.py"))
POINTS = {
    "aggregators": "AGGREGATORS",
    "calibrators": "CALIBRATORS",
    "checks": "CHECKS",
    "corruptions": "CORRUPTIONS",
    "judge_backends": "BACKENDS",
    "judge_protocols": "PROTOCOLS",
    "losses": "LOSSES",
    "exporters": "EXPORTERS",
}
USER_ERRORS = {"UserError", "ConfigError", "DataError", "StoreError", "ModelError", "OutputError"}


def verbs():
    return sorted(typer.main.get_command(app).commands)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_valid(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(path)
    assert config.label is not None or stages_of(config)
    if config.label is not None:
        assert Study.of(config.label, config.name).name == config.name
    if config.judge is not None:
        assert load_rubric(config.judge.rubric).criteria


@pytest.mark.parametrize("path", sorted((ROOT / "configs/rubrics").glob("*.yaml")), ids=lambda path: path.name)
def test_every_rubric_is_valid(path):
    assert load_rubric(str(path)).name == path.stem


def test_there_is_a_verb_for_every_stage():
    assert set(STAGES) <= set(verbs())
    assert {"import", "export", "score", "run", "doctor"} <= set(verbs())


@pytest.mark.parametrize("verb", verbs())
def test_the_readme_names_every_verb(verb):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"\brewardkit {verb}\b", text), f"README.md does not say what `rewardkit {verb}` does"


def test_the_readme_names_no_verb_that_is_not_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`rewardkit ([a-z]+)[ `]", text))
    assert named <= set(verbs())


@pytest.mark.parametrize("point", POINTS)
def test_every_extension_point_has_one_suite_over_all_its_names(point):
    suite = ROOT / "tests" / "contracts" / f"test_{point}.py"
    assert suite.is_file()
    assert re.search(rf"\b{POINTS[point]}\b", suite.read_text(encoding="utf-8")), "it must run over the dictionary"


def test_no_extension_point_is_forgotten():
    groups = set()
    for path in MODULES:
        groups.update(re.findall(r"lookup\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
        groups.update(re.findall(r"^GROUP = \"(\w+)\"", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert groups == set(POINTS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_users_error_says_what_would_be_right_or_what_to_do(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in USER_ERRORS:
            said = {keyword.arg for keyword in node.keywords}
            assert said & {"fix", "expected", None}, f"{path}:{node.lineno}: {ast.unparse(node)[:80]}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_packages_say_why_they_exist_and_re_export_nothing(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.parent.name not in ("rewardkit", "versions", "migrations"):
        assert ast.get_docstring(tree) and len(tree.body) == 1


def test_the_reference_of_configs_is_that_of_the_fields():
    """Otherwise run: python docs/config_reference.py."""
    name = "config_reference"
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert "`train.lora.r`" in module.page() and "`simulate.annotators[].reliability`" in module.page()
