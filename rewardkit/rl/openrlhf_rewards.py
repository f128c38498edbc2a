"""Rewards for OpenRLHF, which imports `reward_func` from a file of yours and calls it with whole texts.

Such a file is two lines:

    from rewardkit.rl.openrlhf_rewards import openrlhf_reward
    reward_func = openrlhf_reward("/where/the/model/is", unreadable=-5.0, ends=("<|im_end|>",))

It is named by `--reward.remote_url /path/to/the_file.py`. OpenRLHF passes the prompt as its chat template rendered it,
in which messages can no longer be told from control tokens: pass the prompt itself as the label, by `--data.label_key`
with the same column as `--data.input_key`. Written to OpenRLHF's source (commit 3c3be62, August 2026), and not run
inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rewardkit.errors import DataError
from rewardkit.extras import require
from rewardkit.rl.asking import ask, refuse_groups
from rewardkit.rl.shaping import Shaping
from rewardkit.rl.trl_rewards import ModelLike, models_of

if TYPE_CHECKING:
    import torch

OpenRlhfReward = Callable[..., dict[str, "torch.Tensor | dict[str, torch.Tensor]"]]


def openrlhf_reward(
    model: ModelLike, shaping: Shaping | None = None, *, unreadable: float, ends: Sequence[str] = ()
) -> OpenRlhfReward:
    """Make a reward model OpenRLHF's `reward_func`.

    OpenRLHF only logs what a reward function raises, so what can go wrong goes wrong here, when it imports the file.

    Args:
        model: A reward model, its folder, or several models.
        shaping: What is done to its rewards.
        unreadable: The reward of an answer that cannot be read; OpenRLHF knows no missing reward, so you choose it.
        ends: What closes an answer in the policy's chat template and is no part of it.

    Returns:
        A function of queries (prompt and answer), prompts (as rendered) and labels (the prompts themselves) that
        returns `rewards`, from which OpenRLHF learns, `scores`, the same mapped into 0 to 1 for its dynamic
        filtering, and `extra_logs`.

    Raises:
        ConfigError: The shaping looks at groups, and OpenRLHF asks about one answer at a time.
    """
    torch = require("torch", "train")
    models, shape = models_of(model), refuse_groups(shaping or Shaping(), "OpenRLHF")

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
        if not all(labels):
            fix = "--data.label_key with the column of --data.input_key"
            raise DataError("a label is empty", where="reward_func", expected="the prompt itself as the label", fix=fix)
        texts = [_answer(query, prompt, ends) for query, prompt in zip(queries, prompts, strict=True)]
        answers = ask(models, shape, labels, texts)
        rewards = torch.tensor(answers.replaced(unreadable))
        readable = torch.tensor([float(not reason) for reason in answers.reasons])
        return {"rewards": rewards, "scores": torch.sigmoid(rewards), "extra_logs": {"readable": readable}}

    return reward_func


def _answer(query: str, prompt: str, ends: Sequence[str]) -> str | None:
    """Return what follows the prompt; None where the query does not begin with it (it was cut to the context)."""
    if not query.startswith(prompt):
        return None
    answer = query.removeprefix(prompt)
    cut = [place for end in ends if (place := answer.find(end)) >= 0]
    return answer[: min(cut)] if cut else answer
