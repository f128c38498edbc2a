from __future__ import annotations

import json
import os
import resource
from datetime import UTC, datetime

import pytest

from rewardkit import runs
from rewardkit.errors import OutputError, UserError
from rewardkit.runs import Manifest, StageFolder


def manifest(fingerprint="f", **fields):
    values = {
        "stage": "train",
        "fingerprint": fingerprint,
        "inputs": {"a": "1"},
        "config": {},
        "seed": 0,
        "seconds": 1.5,
        "finished_at": datetime(2026, 1, 2, tzinfo=UTC),
        "versions": {},
        "summary": {"n": 3},
    }
    return Manifest(**{**values, **fields})


@pytest.fixture
def folder(tmp_path):
    return StageFolder(tmp_path / "runs/demo/train", "train")


def test_a_stage_is_complete_once_its_manifest_is_there(folder):
    assert folder.manifest() is None and not folder.complete("f")
    folder.open("f")
    assert not folder.complete("f")
    folder.finish(manifest())
    assert folder.complete("f") and not folder.complete("g")
    assert folder.manifest() == manifest()


def test_opening_again_makes_it_incomplete_and_keeps_its_outputs(folder):
    folder.open("f")
    (folder.path / "result").write_text("kept")
    folder.finish(manifest())
    folder.open("f")
    assert folder.manifest() is None and (folder.path / "result").read_text() == "kept"


def test_what_is_half_done_stays_for_the_same_fingerprint_only(folder):
    folder.open("f")
    folder.partial.mkdir()
    (folder.partial / "checkpoint").write_text("half")
    folder.open("f")
    assert (folder.partial / "checkpoint").exists()
    folder.open("g")
    assert not folder.partial.exists()


def test_finishing_drops_what_only_a_resume_needed(folder):
    folder.open("f")
    folder.partial.mkdir()
    folder.finish(manifest())
    assert not folder.partial.exists()


@pytest.mark.parametrize("content", ["", "{", '{"stage": "train"}', "[]"])
def test_a_manifest_that_cannot_be_read_is_a_users_error(folder, content):
    folder.open("f")
    folder.manifest_path.write_text(content)
    with pytest.raises(UserError, match="delete this file"):
        folder.manifest()


def test_a_place_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda: runs.make_folder(tmp_path / "file/below"),
        lambda: runs.write_text(tmp_path / "file/below/x", ""),
        lambda: StageFolder(tmp_path / "file/below", "train").open("f"),
    ):
        with pytest.raises(OutputError, match="cannot be written"):
            write()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep/result.txt"
    runs.write_text(path, "first")
    with pytest.raises(RuntimeError), runs.atomic_writer(path) as file:
        file.write(b"half of the sec")
        raise RuntimeError
    assert path.read_text() == "first" and os.listdir(path.parent) == ["result.txt"]


def test_a_folder_in_the_files_place_is_a_users_error(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken"):
        runs.write_text(tmp_path / "taken", "x")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_full_disk_is_a_users_error_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match="x.txt"):
            runs.write_text(tmp_path / "x.txt", "y" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_json_is_indented_utf8_and_without_nan(tmp_path):
    runs.write_json(tmp_path / "x.json", {"b": [1.5, None], "when": datetime(2026, 1, 2, tzinfo=UTC)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"b": [1.5, None], "when": "2026-01-02 00:00:00+00:00"}
    with pytest.raises(ValueError, match="JSON"):
        runs.write_json(tmp_path / "y.json", float("nan"))
    assert not (tmp_path / "y.json").exists()


def test_a_fingerprint_changes_with_all_that_a_result_depends_on():
    base = {"inputs": {"a": "1"}, "config": {"x": 1}, "rooms": ["types"], "seed": 0}
    first = runs.fingerprint(**base)
    assert runs.fingerprint(**{**base, "config": {"x": 1}}) == first
    for changed in ({"inputs": {"a": "2"}}, {"config": {"x": 2}}, {"rooms": ["types", "errors"]}, {"seed": 1}):
        assert runs.fingerprint(**{**base, **changed}) != first
    assert runs.fingerprint({}, {"x": 1, "y": 2}, [], 0) == runs.fingerprint({}, {"y": 2, "x": 1}, [], 0)


def test_the_source_of_a_room_counts_and_compiled_files_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "runs.py"))
    (tmp_path / "room/__pycache__").mkdir(parents=True)
    (tmp_path / "room/a.py").write_text("x = 1")
    (tmp_path / "types.py").write_text("y = 1")
    first = runs.source_hash(["room", "types"])
    assert runs.source_hash(["types", "room"]) == first
    (tmp_path / "room/__pycache__/a.pyc").write_text("compiled")
    (tmp_path / "other.py").write_text("z = 1")
    assert runs.source_hash(["room", "types"]) == first
    (tmp_path / "room/prompt.txt").write_text("Which?")
    second = runs.source_hash(["room", "types"])
    (tmp_path / "types.py").write_text("y = 2")
    assert len({first, second, runs.source_hash(["room", "types"])}) == 3


def test_every_stage_names_rooms_that_are_there():
    from rewardkit.jobs.pipeline import STAGES

    root = runs.Path(runs.__file__).parent
    for stage in STAGES.values():
        for room in stage.rooms:
            assert (root / room).is_dir() or (root / f"{room}.py").is_file(), (stage.name, room)


def test_the_hash_of_a_file_is_its_name_and_content(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * (2 << 20))
    first = runs.file_hash(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    second = runs.file_hash(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"x" * (2 << 20) + b"y")
    assert len({first, second, runs.file_hash(tmp_path / "b")}) == 3
    assert runs.file_hash(tmp_path) == runs.file_hash(tmp_path)


def test_a_folders_hash_tells_where_a_file_ends_and_the_next_begins(tmp_path):
    alike = {"one": {"a": "xy", "b": ""}, "two": {"a": "x", "yb": ""}, "three": {"a": "xyb"}}
    for name, parts in alike.items():
        (tmp_path / name).mkdir()
        for file, content in parts.items():
            (tmp_path / name / file).write_text(content)
    assert len({runs.file_hash(tmp_path / name) for name in ("one", "two", "three")}) == 3
    (tmp_path / "four/a").mkdir(parents=True)
    (tmp_path / "five/b").mkdir(parents=True)
    (tmp_path / "four/a/x").write_text("1")
    (tmp_path / "five/b/x").write_text("1")
    assert runs.file_hash(tmp_path / "four") != runs.file_hash(tmp_path / "five")


def test_versions_name_what_a_result_may_depend_on():
    found = runs.versions()
    assert found["rewardkit"] and found["python"].count(".") == 2 and found["numpy"]
