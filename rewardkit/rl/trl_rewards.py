"""Rewards for TRL's trainers (GRPO, RLOO, online DPO): a reward model as a function with a name, plain or async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from rewardkit.errors import ConfigError
from rewardkit.launching import launched
from rewardkit.rl.asking import Answers, ask, loaded
from rewardkit.rl.shaping import Shaping
from rewardkit.scorer import RewardModel

ModelLike = RewardModel | str | Path | list[RewardModel] | tuple[RewardModel, ...]
"""A model, the folder of one, or several models whose disagreement is penalised by the shaping."""


class TrlReward(Protocol):
    """A reward function as TRL calls it; it logs under `__name__`."""

    __name__: str

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Return one reward for each completion; None where it cannot be read, which TRL leaves out."""


def trl_reward(model: ModelLike, shaping: Shaping | None = None, *, name: str = "reward_model") -> TrlReward:
    """Make a reward model a reward function of TRL's.

    Prompts and completions may be texts or lists of messages. A completion that cannot be read gets None, which TRL
    keeps out of the group's mean, and is never a reward of 0. Each batch logs the mean standard deviation of rewards
    within a prompt (`NAME/std_within_prompt`), which is what GRPO learns from, and how many rewards are missing
    (`NAME/missing`); the table of completions gets the columns `NAME/why_none` and, with a shaping, `NAME/raw`, the
    rewards before it.

    Args:
        model: A reward model, its folder, or several models.
        shaping: What is done to its rewards.
        name: Under which TRL logs.

    Raises:
        ConfigError: The shaping looks at groups, and several processes train. The standard deviation within a prompt is
            that of each process's own completions then.

    Example:
        >>> from trl import GRPOTrainer  # doctest: +SKIP
        >>> reward = trl_reward("workspace/my/runs/my/train/model")  # doctest: +SKIP
        >>> GRPOTrainer(model="…", reward_funcs=reward, train_dataset=prompts).train()  # doctest: +SKIP
    """
    models, shape = models_of(model), shaping or Shaping()
    if shape.per_group and launched().several:
        raise ConfigError(
            "each process rewards a part of a group, and would normalise that",
            where="per_group",
            expected="false in a training of several processes",
            fix="leave it out, and let TRL's scale_rewards normalise",
        )

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        answers = ask(models, shape, prompts, completions)
        _tell(answers, name, columns, shaped=shaping is not None)
        return answers.as_list()

    reward.__name__ = reward.__qualname__ = name
    return reward


def trl_reward_async(
    model: ModelLike, shaping: Shaping | None = None, *, name: str = "reward_model"
) -> Callable[..., Coroutine[Any, Any, list[float | None]]]:
    """Make a reward model an async reward function, as `trl_reward` does.

    The model runs in a thread, so that other reward functions (a judge behind a server) wait for their answers
    meanwhile. Two calls do not run at the same time.
    """
    asked = trl_reward(model, shaping, name=name)

    async def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return await asyncio.to_thread(asked, prompts, completions, **columns)

    reward.__name__ = reward.__qualname__ = name
    return reward


def models_of(model: ModelLike) -> tuple[RewardModel, ...]:
    """Return the models that are meant, those named by a folder loaded once in this process."""
    if isinstance(model, str | Path):
        return (loaded(model),)
    return tuple(model) if isinstance(model, list | tuple) else (model,)


def _tell(answers: Answers, name: str, columns: dict[str, Any], *, shaped: bool) -> None:
    """Log what a mean hides; trainers without these doors are told nothing."""
    if metric := columns.get("log_metric"):
        metric(f"{name}/missing", float(sum(map(bool, answers.reasons))))
        if answers.spread is not None:
            metric(f"{name}/std_within_prompt", answers.spread)
    if extra := columns.get("log_extra"):
        # In each batch, for TRL makes one table of many: a column that some batches lack cannot be in it.
        extra(f"{name}/why_none", list(answers.reasons))
        if shaped:
            extra(f"{name}/raw", answers.raw.mean(axis=0).tolist())
