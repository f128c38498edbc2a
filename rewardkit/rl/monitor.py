"""A callback that watches whether a policy still earns its reward, or has learnt to cheat it.

A held-out reward cannot be seen in the training's own numbers: the batches change from step to step, and the proxy
rises either way. So every few steps the policy answers a fixed set of prompts, and two rewards look at the answers.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from rewardkit.errors import ConfigError, DataError
from rewardkit.extras import require
from rewardkit.progress import log
from rewardkit.rl.asking import RewardFunction
from rewardkit.rl.history import History
from rewardkit.rl.looking import FEWEST_PROMPTS, AlarmRule, Change, Levels, Look, distinct_of, overlap_of
from rewardkit.rl.sampling import Drawing, Sampler, sample
from rewardkit.rl.shaping import Array
from rewardkit.rl.trl_rewards import trl_reward
from rewardkit.scorer import RewardModel
from rewardkit.section import Count, Section

if TYPE_CHECKING:
    from transformers import TrainerCallback
else:
    # The extra rl brings TRL, and TRL brings transformers; whoever lacks it is told so.
    TrainerCallback = require("transformers", "rl").TrainerCallback


class Watching(Section):
    """How often a monitor looks, and at how much."""

    every: Count = Field(10, description="Steps between two looks; there is one before the first and after the last.")
    samples: Count = Field(4, description="Answers to each prompt at a look.")
    max_new_tokens: Count | None = Field(None, description="Longest answer; as in the training if absent.")
    temperature: float | None = Field(None, gt=0.0, description="Of the answers; as in the training if absent.")
    batch: Count = Field(32, description="Answers that are sampled at a time.")
    stop: bool = Field(False, description="End the training at an alarm.")
    seed: int = Field(0, description="Of the answers.")
    rule: AlarmRule = Field(AlarmRule(), description="When there is an alarm.")


class OverOptimisationMonitor(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Compares the reward that a policy is trained on with one that it never sees, and raises an alarm.

    The alarm says that the proxy has risen and the held-out reward has not followed (`AlarmRule`). It is written to
    stderr, stands in `history.alarm`, and ends the training where `Watching.stop` says so. A training that is resumed
    is compared with the moment at which it was.

    Args:
        proxy: What the policy is trained on: the reward function of the trainer, or a reward model.
        held_out: A second reward model, trained on other labels; or any `function(prompts=…, completions=…)` that
            returns a number for each and None where there is none, such as `judge_reward`.
        prompts: Prompts that are not trained on, texts or lists of messages as the trainer's; 30 or more are better.
        watching: How often, and at how much.
        sampler: How answers are drawn, where the policy is not whole in this process.
        folder: Where `monitor.svg` and `monitor.json` are kept up to date; the trainer's output folder if absent.

    Attributes:
        history: What was seen so far.

    Example:
        >>> monitor = OverOptimisationMonitor(reward, RewardModel.load("runs/second/train/model"), held_out_prompts)
        ... # doctest: +SKIP
        >>> GRPOTrainer(..., reward_funcs=reward, callbacks=[monitor]).train()  # doctest: +SKIP
        >>> monitor.history.alarm  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 - the two rewards, the prompts, and three that have a default
        self,
        proxy: RewardFunction | RewardModel,
        held_out: RewardFunction | RewardModel,
        prompts: Sequence[Any],
        watching: Watching | None = None,
        *,
        sampler: Sampler = sample,
        folder: Path | None = None,
    ) -> None:
        if len(prompts) < FEWEST_PROMPTS:
            expected = f"{FEWEST_PROMPTS} or more; 30 tell much more"
            raise DataError(f"{len(prompts)} prompts to look at", where="prompts", expected=expected)
        self.proxy, self.held_out = _function(proxy), _function(held_out)
        self.prompts, self.watching = list(prompts), watching or Watching()
        self.sampler, self.folder, self._kl = sampler, folder, None
        self.history = History(self.watching.rule, Levels.of(self.watching.rule, 1))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the first look, and divide the rate of false alarms among those to come.

        Raises:
            ConfigError: An alarm is to stop several processes, which would not agree to stop.
        """
        if self.watching.stop and args.world_size > 1:
            fix = "leave stop out, and watch for the alarm"
            raise ConfigError("an alarm stops one process only", where="stop", expected="one process", fix=fix)
        # At each multiple, and at the end; a training that goes on may begin between two.
        every, end = self.watching.every, state.max_steps
        looks = max(end // every - state.global_step // every + bool(end % every), 1)
        self.history = History(self.watching.rule, Levels.of(self.watching.rule, looks))
        self._look(args, state, kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Keep the KL that the trainer logs."""
        self._kl = (logs or {}).get("kl", self._kl)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Look where it is time to."""
        step, known = state.global_step, self.history.alarm
        if step % self.watching.every and step != state.max_steps:
            return control
        self._look(args, state, kwargs)
        alarm = self.history.alarm
        if alarm and not known and state.is_world_process_zero:
            log(self._words(alarm))
        if alarm and self.watching.stop:
            control.should_training_stop = True
        return control

    def _look(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        look = self._seen(args, state.global_step, kwargs["model"], kwargs["processing_class"])
        self.history = self.history.after(look)
        means = {"proxy": look.proxy, "held_out": look.held_out, "characters": look.lengths}
        told = {name: float(np.nanmean(values)) for name, values in means.items() if not np.isnan(values).all()}
        told |= {"distinct": look.distinct, "overlap": look.overlap}
        state.log_history.append({"step": look.step, **{f"monitor/{name}": value for name, value in told.items()}})
        if state.is_world_process_zero:
            log(f"monitor: step {look.step}: " + ", ".join(f"{name} {value:.3g}" for name, value in told.items()))
            self.history.save((self.folder or Path(args.output_dir)) / "monitor.svg")

    def _seen(self, args: Any, step: int, model: Any, tokenizer: Any) -> Look:
        watching, count = self.watching, self.watching.samples
        drawing = Drawing.as_trained(
            args,
            max_new_tokens=watching.max_new_tokens,
            temperature=watching.temperature,
            batch=watching.batch,
            # The same chance at each look: what differs is the policy.
            seed=watching.seed,
        )
        asked = [prompt for prompt in self.prompts for _ in range(count)]
        texts = list(self.sampler(model, tokenizer, asked, drawing))
        groups = [texts[start : start + count] for start in range(0, len(texts), count)]
        return Look(
            step=step,
            proxy=_rewards(self.proxy, asked, texts).reshape(-1, count),
            held_out=_rewards(self.held_out, asked, texts).reshape(-1, count),
            lengths=np.array([[float(len(text)) for text in group] for group in groups]),
            distinct=distinct_of(texts),
            overlap=overlap_of(groups),
            kl=self._kl,
        )

    def _words(self, alarm: Change) -> str:
        first, last = self.history.looks[0], self.history.looks[-1]
        longer, tied = last.lengths.mean() / max(first.lengths.mean(), 1.0), last.length_correlation
        length = "" if tied is None else f" (within prompts the proxy correlates with length by {tied:.2f})"
        return (
            f"ALARM at step {alarm.step}: the held-out reward does not follow. Since step {alarm.since} the proxy rose"
            f" by {alarm.proxy.value:.2f} standard deviations, the held-out one by {alarm.held_out.value:.2f}"
            f" (n = {alarm.proxy.n_units} prompts). Answers are {longer:.2f} times as long as at the start{length}."
        )


def _function(reward: RewardFunction | RewardModel) -> RewardFunction:
    return trl_reward(reward) if isinstance(reward, RewardModel) else reward


def _rewards(reward: RewardFunction, prompts: Sequence[Any], texts: Sequence[str]) -> Array:
    """Ask a reward function as TRL does; what it does not know is NaN.

    Raises:
        DataError: It returns more or fewer rewards than answers.
    """
    completions: list[Any] = [
        text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    found: Any = reward(prompts=list(prompts), completions=completions)
    values = _awaited(found) if inspect.iscoroutine(found) else found
    if len(values) != len(texts):
        expected = "one for each completion, None where there is none"
        raise DataError(f"{len(values)} rewards for {len(texts)} completions", where="monitor", expected=expected)
    return np.array([math.nan if value is None else float(value) for value in values])


def _awaited(rewards: Coroutine[Any, Any, Any]) -> Any:
    """Wait for rewards in a thread of its own: where training runs in a notebook, this one has a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, rewards).result()
