"""A study of a workspace is served once; the operating system knows, whatever becomes of who serves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labeling_ui.alone import alone
from rewardkit.errors import ConfigError, OutputError

OTHER = """
import sys, time
from pathlib import Path
from labeling_ui.alone import alone
with alone(Path(sys.argv[1]), "poems") as told:
    told("http://127.0.0.1:7999")
    print("serving", flush=True)
    time.sleep(60)
"""


def refusal(folder, study="poems"):
    with pytest.raises(ConfigError) as caught, alone(folder, study):
        pass
    return str(caught.value)


def test_a_second_server_is_told_where_the_first_one_is(tmp_path):
    with alone(tmp_path / "w", "poems") as told:
        assert "being started" in refusal(tmp_path / "w")
        told("http://127.0.0.1:7860")
        said = refusal(tmp_path / "w")
        assert "'poems' is served already, at http://127.0.0.1:7860" in said and "Ctrl-C" in said
        # Another study, and another workspace, are nobody's business.
        with alone(tmp_path / "w", "../jokes & more"), alone(tmp_path / "v", "poems"):
            pass
    with alone(tmp_path / "w", "poems"):
        assert "being started" in refusal(tmp_path / "w")


def test_it_is_free_again_when_the_first_one_is_killed(tmp_path):
    words = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"serving\n"
        assert "http://127.0.0.1:7999" in refusal(tmp_path)
        other.kill()
    with alone(tmp_path, "poems"):
        pass


def test_a_workspace_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError), alone(tmp_path / "file", "poems"):
        pass
