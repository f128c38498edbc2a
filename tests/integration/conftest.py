"""A whole pipeline on a small slice of the demo's data, with a tiny random model: flow, never quality."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import yaml

from rewardkit.config import JobConfig
from rewardkit.jobs import pipeline
from rewardkit.models import resolve

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "thirdparty"
RESPONSES = 3


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tiny_model):
    return tiny_model()


@pytest.fixture(scope="session")
def slice_(tmp_path_factory):
    """Three of the five responses to each of the first 24 prompts of the demo's fiction."""
    rows = (ROOT / "configs/demo/fiction.jsonl").read_text(encoding="utf-8").splitlines()[: 24 * 5]
    kept = [row for row in rows if int(json.loads(row)["id"].rpartition("-")[2]) <= RESPONSES]
    file = tmp_path_factory.mktemp("slice") / "fiction.jsonl"
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def pipeline_settings(slice_, tiny):
    """The pipeline's config as plain values; the workspace is below the present folder."""
    return {
        "name": "small",
        "workspace": "w",
        "seed": 3,
        "import": {"files": [str(slice_)], "source": "sample"},
        "simulate": {
            "labels_per_comparison": 2,
            "annotators": [
                {"name": "careful", "reliability": 1.6},
                {"name": "hurried", "reliability": 0.9, "lapse": 0.1},
                {"name": "lover", "reliability": 1.1, "length_bias": 0.4},
            ],
        },
        "judge": {"backend": "fake", "rubric": str(ROOT / "configs/rubrics/fiction.yaml")},
        "aggregate": {"split": {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}},
        "train": {"model": str(tiny), "max_length": 160, "batch_size": 8, "epochs": 2, "lora": {"r": 2}},
        "calibrate": {},
        "evaluate": {},
    }


@pytest.fixture
def settings(pipeline_settings):
    """A copy of the pipeline's config, to be changed."""
    return deepcopy(pipeline_settings)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished_folder(pipeline_settings, tmp_path_factory):
    """A folder in which the whole pipeline has run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pipeline.run(JobConfig.model_validate(pipeline_settings))
    return folder


@pytest.fixture
def finished(finished_folder, here):
    """A copy of it, in which the test works."""
    shutil.copytree(finished_folder, here, dirs_exist_ok=True)
    return here


@pytest.fixture
def write(tmp_path):
    """Write a config: `write(settings)`."""

    def save(values, name="job.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return save


@pytest.fixture
def files():
    """Tell what is in a folder: the contents of each file, without the database's side files."""

    def look(folder):
        found = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
        return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in found}

    return look


@pytest.fixture
def refused(rewardkit, here, files):
    """Run what must be refused: exit 2, one message, no traceback, nothing half-written.

    A stage's mark that it was begun (`started`) is no result, and may stay.
    """

    def check(*words, says=()):
        before = files(here)
        ended = rewardkit(*words)
        check_refusal(ended.code, ended.err, says)
        assert ended.out == ""
        after = {name: content for name, content in files(here).items() if not name.endswith("/started")}
        assert after == {name: content for name, content in before.items() if not name.endswith("/started")}
        return ended.err

    return check


def check_refusal(code, err, says):
    """Check an exit code and what stands on stderr."""
    message = err[err.index("error: ") :]
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err, err
    assert "\n  fix: " in message or "\n  expected: " in message, err
    for words in (says,) if isinstance(says, str) else says:
        assert words in message, err


@pytest.fixture
def third_party(monkeypatch):
    """Register the third party's names in this process."""
    monkeypatch.syspath_prepend(THIRD_PARTY)


@pytest.fixture
def start(tmp_path):
    """Start the real command line as a process of its own, in a folder of its own."""
    running = []

    def begin(*words, **environment):
        path = os.pathsep.join([str(THIRD_PARTY), os.environ.get("PYTHONPATH", "")])
        values = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment}
        process = subprocess.Popen(
            [Path(sys.executable).parent / "rewardkit", *map(str, words)],
            cwd=tmp_path,
            env=values,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def serving():
    """The address of transformers' own server, and the name of the model that it serves."""
    pytest.importorskip("openai", reason="needs what `transformers serve` needs: pip install openai")
    folder = str(resolve("smollm2-135m").path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    words = [program, "serve", "--host", "127.0.0.1", "--port", str(port), folder]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            deadline = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < deadline, "transformers serve did not start"
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1", folder
        finally:
            process.kill()


def answers(address):
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False
