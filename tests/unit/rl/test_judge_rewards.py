import math

import pytest

from rewardkit.errors import ConfigError
from rewardkit.judge import judges
from rewardkit.judge.contract import Completion
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge_config import JudgeConfig
from rewardkit.rl.judge_rewards import judge_reward

CRITERIA = """
name: two
version: "1"
description: What a reader makes of it.
scale: [0, 10]
criteria:
  - {name: vivid, description: It can be seen., weight: 3}
  - {name: padded, description: It says little in many words., weight: -1}
"""


def answer(request):
    """Rate "good" 5 on all, fail on "broken", and anything else 1."""
    if "broken" in request.user:
        return Completion(failure="out of order")
    said = "5" if "good" in request.user else "1"
    return Completion({label: math.log(0.96 if label == said else 0.01) for label in request.labels})


@pytest.fixture
def backend(monkeypatch):
    made = FakeBackend(answer)
    monkeypatch.setattr(judges, "open_backend", lambda config, cache: made)
    return made


@pytest.fixture
def config(tmp_path):
    (tmp_path / "two.yaml").write_text(CRITERIA)
    rubric = str(tmp_path / "two.yaml")
    return JudgeConfig(backend="fake", model="fake", rubric=rubric, rating_protocol="rating.v1", max_failure_rate=1.0)


def test_ratings_become_rewards_by_hand(backend, config):
    reward = judge_reward(config, name="taste")
    completions = [[{"role": "assistant", "content": text}] for text in ("good", "odd", "broken", "", "good")]
    best, worst, broken, empty, again = reward(prompts=["p"] * 5, completions=completions, task=["x"] * 5)
    # 5 with .96 and 1 to 4 with .01 each: mean 4.9 of 1 to 5, level .975, on the scale 9.75; "padded" counts against.
    assert best == again == pytest.approx((3 * 9.75 + 10 - 9.75) / 4)
    assert worst == pytest.approx((3 * 0.25 + 10 - 0.25) / 4)
    assert broken is None and empty is None and reward.__name__ == "taste"
    # Three different texts on two criteria each.
    assert len(backend.seen) == 6


def test_a_judge_that_only_compares_is_refused(backend, config):
    with pytest.raises(ConfigError, match="only compares"):
        judge_reward(config.model_copy(update={"rating_protocol": None}))
