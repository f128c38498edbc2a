"""Rewards for NeMo-RL, which asks an environment that it runs as a Ray actor.

In the script that starts a training:

    from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
    from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
    from nemo_rl.environments.utils import register_env

    place = "rewardkit.rl.nemo_rewards.RewardActor"
    ACTOR_ENVIRONMENT_REGISTRY[place] = PY_EXECUTABLES.SYSTEM   # an environment in which rewardkit is installed
    register_env("rewardkit", place)

and in its config `env.rewardkit: {model: /where/the/model/is, unreadable: -5.0}`. Written to NeMo-RL's source (commit
7ea279a, August 2026), and not run inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from rewardkit.complaints import complaint
from rewardkit.errors import ConfigError
from rewardkit.extras import require
from rewardkit.reward_model.rendering import Unrendered
from rewardkit.reward_model.whole_texts import Whole
from rewardkit.rl.asking import ask, loaded, refuse_groups
from rewardkit.rl.shaping import Shaping
from rewardkit.scorer import RewardModel
from rewardkit.section import Section

if TYPE_CHECKING:
    import torch


class EnvironmentSettings(Section):
    """The environment's part of NeMo-RL's config.

    Attributes:
        model: Folder of a reward model.
        unreadable: The reward of an answer that cannot be read; NeMo-RL knows no missing reward, so you choose it.
        shaping: What is done to the model's rewards.
    """

    model: str
    unreadable: float
    shaping: Shaping = Shaping()


class EnvironmentReturn(NamedTuple):
    """What a step returns: the fields that NeMo-RL unpacks, in its order.

    Attributes:
        observations: (n,) messages with role and content.
        metadata: (n,) what the environment passes on to its next step: nothing.
        next_stop_strings: (n,) nothing.
        rewards: (n,).
        terminateds: (n,) all true: one answer is one episode.
        answers: (n,) the answers, None where one cannot be read.
    """

    observations: list[dict[str, str]]
    metadata: list[None]
    next_stop_strings: list[None]
    rewards: torch.Tensor
    terminateds: torch.Tensor
    answers: list[str | None]


class RewardEnvironment:
    """One step: the reward of the conversation's last message.

    Args:
        config: `EnvironmentSettings`, as NeMo-RL passes it; what it adds itself (`enabled`, `num_workers`) is let be.

    Raises:
        ConfigError: A setting is missing or wrong, or the shaping looks at groups.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        known = {key: value for key, value in config.items() if key in EnvironmentSettings.model_fields}
        try:
            self.settings = EnvironmentSettings.model_validate(known)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["env.rewardkit", *map(str, first["loc"])])
            raise ConfigError(complaint(first), where=where, fix="see rewardkit/rl/nemo_rewards.py") from error
        self.shaping = refuse_groups(self.settings.shaping, "NeMo-RL")
        self.model = loaded(self.settings.model)

    def step(
        self, message_log_batch: Sequence[Sequence[Mapping[str, Any]]], metadata: Sequence[Any]
    ) -> EnvironmentReturn:
        """Compute the rewards of conversations, each a list of messages that ends with the policy's."""
        torch = require("torch", "train")
        read = [conversation(self.model, log) for log in message_log_batch]
        answers = ask((self.model,), self.shaping, [prompt for prompt, _ in read], [said for _, said in read])
        told = zip(answers.reasons, message_log_batch, strict=True)
        rewards, count = answers.replaced(self.settings.unreadable), len(message_log_batch)
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": f"reward: {reward:.4f}"} for reward in rewards],
            metadata=[None] * count,
            next_stop_strings=[None] * count,
            rewards=torch.tensor(rewards),
            terminateds=torch.ones(count, dtype=torch.bool),
            answers=[None if reason else log[-1]["content"] for reason, log in told],
        )

    def global_post_process_and_metrics(self, batch: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, float]]:
        """Return the batch as it is, and what its rewards were."""
        rewards = batch.get("rewards", batch.get("total_reward"))
        if rewards is None or not len(rewards):
            return batch, {}
        unread = float((rewards == self.settings.unreadable).double().mean())
        return batch, {"rewardkit/mean": float(rewards.mean()), "rewardkit/share_unreadable": unread}

    def shutdown(self) -> None:
        """Let go of nothing: the model lives as long as its process."""


def conversation(model: RewardModel, log: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """Return prompt and completion of a log; no completion where it cannot be told what they are.

    NeMo-RL's own processors put the whole prompt, rendered with the policy's chat template, into the content of the
    user's message. Where a content holds control tokens, all of them together are taken for a rendered conversation.
    """
    contents = [each.get("content") for each in log]
    texts = [each for each in contents if isinstance(each, str)]
    if len(texts) < len(contents) or not any(map(model.whole_texts.holds_control, texts[:-1])):
        return log[:-1], log[-1:]
    found = model.whole_texts.read(Whole("".join(texts)))
    if isinstance(found, Unrendered):
        return log[:-1], None
    prompt, answer = found
    return prompt, [{"role": "assistant", "content": answer}]


def __getattr__(name: str) -> Any:
    # Ray is wanted by those alone who name the actor.
    if name != "RewardActor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return require("ray", "ray").remote(RewardEnvironment)
