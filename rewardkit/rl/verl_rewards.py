"""Rewards for verl, which imports a function by its place and calls it with answers that it has decoded.

In verl's config:

    reward.custom_reward_function.path=pkg://rewardkit.rl.verl_rewards
    reward.custom_reward_function.name=compute_score          (compute_scores for the reward manager `batch`)
    +reward.custom_reward_function.reward_kwargs.model=/where/the/model/is
    +reward.custom_reward_function.reward_kwargs.unreadable=-5.0

verl passes no prompt on: each row of the data must hold it in `extra_info.prompt`, as text or messages. The functions
were written to verl's source (commit 1dda039, August 2026) and have not been run inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewardkit.errors import DataError
from rewardkit.rl.asking import ask, loaded
from rewardkit.rl.shaping import Shaping

NOTHING = Shaping()


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> dict[str, float]:
    """Compute one answer's reward, as verl's reward managers `naive` and `dapo` ask.

    Args:
        data_source: The row's data set; not used.
        solution_str: The answer.
        ground_truth: The row's reference; not used.
        extra_info: What the row holds beside; `prompt` is needed.
        **keywords: Those of `compute_scores`.

    Returns:
        As `compute_scores` does, for this answer.
    """
    return compute_scores([data_source], [solution_str], [ground_truth], [extra_info or {}], **keywords)[0]


def compute_scores(  # noqa: PLR0913 - verl's own four, and two of its reward_kwargs
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any]],
    *,
    model: str,
    unreadable: float,
    **router: Any,
) -> list[dict[str, float]]:
    """Compute the rewards of a batch, as verl's reward manager `batch` asks.

    Args:
        data_sources: (n,); not used.
        solution_strs: (n,) answers.
        ground_truths: (n,); not used.
        extra_infos: (n,) mappings with `prompt`.
        model: Folder of a reward model, loaded once in each process.
        unreadable: The reward of an answer that cannot be read. verl knows no missing reward, so you choose it: it
            should be below what the model gives to poor answers.
        **router: What verl adds where a reward model of its own is served; not used.

    Returns:
        For each answer `score`, which verl learns from, and `readable`, 1 or 0, which it logs.

    Raises:
        DataError: A row holds no prompt.
    """
    prompts = [_prompt(info) for info in extra_infos]
    answers = ask((loaded(model),), NOTHING, prompts, solution_strs)
    rewards = answers.replaced(unreadable)
    return [
        {"score": reward, "readable": float(not reason)}
        for reward, reason in zip(rewards, answers.reasons, strict=True)
    ]


def _prompt(info: Mapping[str, Any]) -> Any:
    if info.get("prompt") is None:
        found = ", ".join(sorted(info)) or "nothing"
        fix = "when you prepare the data, copy the prompt there: verl does not pass it to reward functions"
        raise DataError(f"extra_info holds {found}", where="extra_info", expected="a key `prompt`", fix=fix)
    prompt = info["prompt"]
    # Parquet gives lists back as arrays.
    return prompt.tolist() if hasattr(prompt, "tolist") else prompt
