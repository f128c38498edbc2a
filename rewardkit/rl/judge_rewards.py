"""A judge's ratings as a reward: what a monitor holds out where there is no second reward model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardkit.errors import ConfigError
from rewardkit.judge.budget import Budget
from rewardkit.judge.judges import open_judges
from rewardkit.judge.running import judge_ratings
from rewardkit.judge_config import JudgeConfig
from rewardkit.rl.asking import Asked, read
from rewardkit.rl.trl_rewards import TrlReward
from rewardkit.rubric import Rubric
from rewardkit.types import Prompt, Rating, Response


@dataclass(frozen=True)
class _Answer:
    """A completion as the judge's room knows responses."""

    prompt: Prompt
    response: Response


def judge_reward(config: JudgeConfig, *, name: str = "judge") -> TrlReward:
    """Make a judge's ratings a reward function, as `trl_reward` makes one of a model.

    The reward is the rubric's weighted mean over its criteria. A rating that failed leaves the response without a
    reward; a criterion that does not apply does not count. `max_cost` holds for all calls together.

    Args:
        config: The section `judge` of a config; `rating_protocol` says how it rates.
        name: Under which TRL logs.

    Raises:
        ConfigError: The config names no rating protocol, or what `open_judges` refuses.
        ModelError: The model cannot be used.
    """
    config = config.model_copy(update={"limit": None})
    judge, budget = open_judges(config).ratings, Budget(config.max_cost, config.warn_cost)
    if judge is None:
        what = "a judge that only compares gives no reward"
        raise ConfigError(what, where="judge.rating_protocol", expected="a registered protocol", fix="rating.v2")

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        asked = [_answer(read(prompt, said)) for prompt, said in zip(prompts, completions, strict=True)]
        # A text that comes twice is one response, and is rated once.
        answers = {each.response.id: each for each in asked if each}
        said = judge_ratings(answers.values(), judge, config, budget=budget)
        found = _overall(judge.rubric, (rating for rating in said if isinstance(rating, Rating)))
        return [found.get(each.response.id) if each else None for each in asked]

    reward.__name__ = reward.__qualname__ = name
    return reward


def _answer(asked: Asked | str) -> _Answer | None:
    if isinstance(asked, str) or not asked.text.strip():
        return None
    prompt = Prompt.of(asked.prompt)
    return _Answer(prompt, Response.of(prompt.id, asked.text))


def _overall(rubric: Rubric, ratings: Iterable[Rating]) -> Mapping[str, float | None]:
    """Return each response's rating over all criteria; None where one of them failed."""
    values, failed = defaultdict[str, dict[str, float | None]](dict), set()
    for rating in ratings:
        values[rating.response_id][rating.criterion] = rating.value
        if rating.status == "failed":
            failed.add(rating.response_id)
    return {key: None if key in failed else rubric.overall(each) for key, each in values.items()}
