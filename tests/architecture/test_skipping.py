"""With REWARDKIT_NO_SKIP=1 a session that skips a test fails, and says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
NONE_SKIPPED = """
import pytest

def test_runs(): pass

@pytest.mark.xfail
def test_is_expected_to_fail(): assert False
"""
ONE_SKIPPED = (
    NONE_SKIPPED
    + """
def test_lacks_something(): pytest.skip("needs a server")
"""
)


def session(folder, text, **environment):
    shutil.copy(CONFTEST, folder)
    (folder / "test_some.py").write_text(text)
    values = {key: value for key, value in os.environ.items() if not key.startswith(("REWARDKIT_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    return subprocess.run(command, capture_output=True, text=True, env={**values, **environment}, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "strict", "code"),
    [(ONE_SKIPPED, True, 1), (ONE_SKIPPED, False, 0), (NONE_SKIPPED, True, 0)],
    ids=["fails", "off", "none"],
)
def test_a_skip_fails_the_session_where_asked_to(tmp_path, text, strict, code):
    ended = session(tmp_path, text, **({"REWARDKIT_NO_SKIP": "1"} if strict else {}))
    assert ended.returncode == code, ended.stdout
    assert ("test_some.py::test_lacks_something" in ended.stdout) == (code == 1)
