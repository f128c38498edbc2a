"""A stage is run again when code that it runs has changed: its rooms cover what its work imports."""

from __future__ import annotations

from pathlib import Path
from types import CodeType, FunctionType

import grimp
import pytest

from rewardkit.jobs.pipeline import STAGES
from rewardkit.jobs.stages import Stage
from rewardkit.runs import source_hash

ROOT = Path(__file__).parents[2] / "rewardkit"
# They say how a job is told, begun and noted down, and nothing of what comes out of it.
MACHINERY = {
    "errors",
    "extras",
    "progress",
    "registry",
    "config",
    "config_errors",
    "complaints",
    "paths",
    "label_config",
    "simulate_config",
    "audit_config",
    "judge_config",
    "cascade_config",
    "generate_config",
    "section",
    "yaml_files",
    "yaml_records",
    "listening",
    "runs",
    "launching",
    "jobs/stages",
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("rewardkit", exclude_type_checking_imports=True)


def codes(code):
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from codes(inner)


def modules_used(function, graph, seen):
    """Yield the modules that a job's function names, and those of the functions of jobs that it calls."""
    for code in codes(function.__code__):
        for name in code.co_names:
            if name in graph.modules:
                # An import inside the function; of a whole package where its modules are imported by name.
                yield from (graph.find_descendants(name) or {name}) if name != "rewardkit" else ()
            named = function.__globals__.get(name)
            if isinstance(named, Stage):
                # One stage that does another's work.
                for part in (named.work, named.inputs):
                    yield part.__module__
                    yield from modules_used(part, graph, seen)
                continue
            module = getattr(named, "__module__", None) or getattr(named, "__name__", "")
            if not str(module).startswith("rewardkit.") or id(named) in seen:
                continue
            seen.add(id(named))
            yield module
            if module.startswith("rewardkit.jobs."):
                members = vars(named).values() if isinstance(named, type) else [named]
                for member in members:
                    if isinstance(member, FunctionType):
                        yield from modules_used(member, graph, seen)


def imported(module, graph, seen):
    """Yield a module and all that it imports; what jobs import is followed by function instead."""
    if module in seen:
        return
    seen.add(module)
    yield module
    if not module.startswith("rewardkit.jobs."):
        for other in graph.find_modules_directly_imported_by(module):
            yield from imported(other, graph, seen)


def room(module):
    parts = module.split(".")[1:]
    return "/".join(parts[:2] if parts and parts[0] == "jobs" else parts[:1])


def rooms_used(stage, graph):
    seen, called = set(), set()
    modules = {stage.work.__module__, *(m for f in (stage.work, stage.inputs) for m in modules_used(f, graph, called))}
    return {room(m) for start in modules for m in imported(start, graph, seen) if m != "rewardkit"} - MACHINERY


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_rooms_are_those_that_its_work_uses(name, graph):
    assert set(STAGES[name].rooms) - MACHINERY == rooms_used(STAGES[name], graph)


@pytest.mark.parametrize("name", STAGES)
def test_every_room_is_there_and_counts(name):
    for place in STAGES[name].rooms:
        assert (ROOT / place).is_dir() or (ROOT / f"{place}.py").is_file()
    assert source_hash(STAGES[name].rooms) != source_hash(STAGES[name].rooms[1:])
