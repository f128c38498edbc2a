"""How training loops ask for rewards: their forms of prompts and completions, and models that are loaded once.

Every library calls with prompts and completions in forms of its own. Here they become what `RewardModel.score` reads; a
completion that cannot be read has a reason and no reward, whoever asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rewardkit.errors import ConfigError, DataError
from rewardkit.rl.shaping import Array, Shaping, spread_within
from rewardkit.scorer import RewardModel, messages_of
from rewardkit.types import Message

# Libraries call from threads of their own, and neither a fast tokenizer nor a network's cache bears two at a time.
_LOCK = threading.Lock()
_LOADING = threading.Lock()

RewardFunction = Callable[..., Sequence[float | None]]
"""What TRL calls: `function(prompts=…, completions=…)` returns a reward for each, None where there is none."""


@dataclass(frozen=True)
class Asked:
    """A completion that can be read.

    Attributes:
        prompt: All messages before the last of the completion's.
        text: The last one: what the reward is for.
    """

    prompt: tuple[Message, ...]
    text: str


@dataclass(frozen=True)
class Answers:
    """Rewards of one batch.

    Attributes:
        values: Shaped rewards, (n,); NaN only where there is a reason.
        raw: The models' own rewards, a row for each member of an ensemble, (members, n).
        reasons: Why there is no reward, (n,); empty where there is one.
        spread: Mean standard deviation of `values` within a prompt; None where no prompt has two.
    """

    values: Array
    raw: Array
    reasons: tuple[str, ...]
    spread: float | None

    def as_list(self) -> list[float | None]:
        """Return the rewards, None where there is none."""
        return [None if np.isnan(value) else float(value) for value in self.values]

    def replaced(self, unreadable: float) -> list[float]:
        """Return the rewards, `unreadable` where there is none: for libraries that know no missing reward."""
        return [unreadable if np.isnan(value) else float(value) for value in self.values]


def read(prompt: Any, completion: Any) -> Asked | str:
    """Read a prompt and its completion, each text or messages; the reason is returned where that cannot be done.

    Of a completion of several messages (calls of tools and what they said) the last one is the response, and the
    others belong to what it answers. Parts that are no text cannot be read.
    """
    if completion is None:
        return "there is no completion"
    try:
        said = completion if isinstance(completion, str) else [_message(each) for each in completion]
        asked = prompt if isinstance(prompt, str) or prompt is None else [_message(each) for each in prompt]
        before = messages_of(asked)
        if isinstance(said, str):
            return Asked(before, said)
        *between, last = messages_of(said) or [Message(role="assistant", content="")]
    except (DataError, TypeError, ValueError) as error:
        return f"the conversation cannot be read: {getattr(error, 'what', error)}"
    if last.role != "assistant":
        return f"the completion ends with a message of the role {last.role}"
    return Asked((*before, *between), last.content)


def ask(models: Sequence[RewardModel], shaping: Shaping, prompts: Sequence[Any], completions: Sequence[Any]) -> Answers:
    """Compute the shaped rewards of completions.

    Args:
        models: One model, or several; where there are several, or an ensemble's members, their disagreement counts.
        shaping: What is done to their rewards.
        prompts: (n,) texts or lists of messages.
        completions: (n,) texts or lists of messages.

    Raises:
        DataError: There is no model, or there are not as many prompts as completions.
    """
    if not models or len(prompts) != len(completions):
        what = f"{len(models)} models, {len(prompts)} prompts, {len(completions)} completions"
        raise DataError(what, where="ask", expected="a model, and one prompt for each completion")
    asked = [read(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    reasons = [each if isinstance(each, str) else "" for each in asked]
    told = [_values(model, asked, reasons) for model in models]
    raw = np.vstack([rewards for rewards, _ in told])
    # Every member counts as much as another one; models without a variance head say nothing of it.
    known = [np.broadcast_to(variance, rewards.shape) for rewards, variance in told if variance is not None]
    noise = np.sqrt(np.vstack(known).mean(axis=0)) if known else 0.0
    texts = ["" if isinstance(each, str) else each.text for each in asked]
    # What is asked, and not what the completion's own messages made of it, is what a group shares.
    groups = [repr(prompt) for prompt in prompts]
    values = shaping.apply(raw, texts=texts, groups=groups, noise=noise)
    return Answers(values, raw, tuple(reasons), spread_within(values, groups))


def _values(model: RewardModel, asked: Sequence[Asked | str], reasons: list[str]) -> tuple[Array, Array | None]:
    """Return the rewards by each member of a model, (members, n), and what its variance head says, (n,), if it has one.

    What it cannot read is added to the reasons.
    """
    values, variances = np.full((model.members, len(asked)), np.nan), None
    places = [place for place, each in enumerate(asked) if isinstance(each, Asked)]
    readable = [each for each in asked if isinstance(each, Asked)]
    if readable:
        with _LOCK:
            found = model.score([each.prompt for each in readable], [each.text for each in readable])
        values[:, places] = found.members.T
        if found.noise is not None:
            variances = np.full(len(asked), np.nan)
            variances[places] = found.noise**2
        for place, reason in zip(places, found.reasons, strict=True):
            reasons[place] = reasons[place] or reason
    return values, variances


def _message(each: Any) -> Any:
    """Keep role and content; contents that are lists of parts become their text."""
    if isinstance(each, Message):
        return each
    content = each.get("content")
    if isinstance(content, list):
        if kinds := {str(part.get("type")) for part in content} - {"text"}:
            raise ValueError(f"a message holds {', '.join(sorted(kinds))} beside text")
        content = "".join(part["text"] for part in content)
    # A message that only calls tools has no content, which some libraries write as None.
    return {"role": each.get("role"), "content": content or ""}


def refuse_groups(shaping: Shaping, library: str) -> Shaping:
    """Return the shaping for a library that may ask about one response at a time.

    Raises:
        ConfigError: It compares the responses to one prompt.
    """
    if shaping.per_group:
        what = f"{library} may ask about one response at a time, which is no group"
        fix = f"leave it out, and let {library} normalise"
        raise ConfigError(what, where="per_group", expected="false", fix=fix)
    return shaping


def loaded(path: str | Path) -> RewardModel:
    """Return the model of a folder, loaded once in this process."""
    with _LOADING:
        return _loaded(str(Path(path).resolve()))


@cache
def _loaded(path: str) -> RewardModel:
    return RewardModel.load(path)
