"""What may be loaded when, and who may import whom."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HEAVY = (
    "torch", "transformers", "peft", "accelerate", "sklearn", "scipy", "matplotlib", "gradio", "sqlalchemy", "pandas",
    "numpy", "pyarrow",
)  # fmt: skip
LOADED = "import json, sys; json.dump(sorted({m.partition('.')[0] for m in sys.modules}), sys.stderr)"
HELP = """
import sys
from rewardkit.cli import main
sys.argv = ["rewardkit", "--help"]
try: main()
except SystemExit: pass
"""


def loaded_by(code):
    ended = subprocess.run([sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stderr))


@pytest.mark.parametrize("code", ["import rewardkit", "import rewardkit.cli", HELP], ids=["package", "cli", "help"])
def test_a_light_start(code):
    assert not loaded_by(code).intersection(HEAVY)


def test_light_modules():
    rooms = ("config", "types", "errors", "registry", "runs", "chat", "models", "hardware", "progress", "extras")
    assert not loaded_by("import " + ", ".join(f"rewardkit.{room}" for room in rooms)).intersection(HEAVY)


def test_jobs_and_rooms_load_no_model_before_one_is_needed():
    rooms = (
        "jobs.pipeline",
        "jobs.doctor",
        "jobs.scoring",
        "jobs.serving",
        "serving.server",
        "jobs.selecting",
        "rl.trl_rewards",
        "rl.judge_rewards",
        "rl.history",
        "store.importing",
        "aggregation.aggregators",
        "judge.running",
    )
    loaded = loaded_by("import " + ", ".join(f"rewardkit.{room}" for room in rooms))
    assert not loaded.intersection({"torch", "transformers", "peft", "accelerate", "gradio", "pandas"})


def test_importing_sets_nothing_up():
    code = (
        "import logging, os\nbefore = dict(os.environ)\nimport rewardkit.cli, rewardkit.jobs.pipeline\n"
        "assert dict(os.environ) == before and not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_imports_point_down_only():
    ended = subprocess.run([BIN / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_the_root_lends_its_names_lazily():
    import rewardkit
    from rewardkit.scorer import RewardModel
    from rewardkit.types import Comparison

    assert rewardkit.Comparison is Comparison and rewardkit.RewardModel is RewardModel
    assert set(rewardkit.__all__) <= set(dir(rewardkit))
    assert all(getattr(rewardkit, name) is not None for name in rewardkit.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rewardkit.no_such_name
