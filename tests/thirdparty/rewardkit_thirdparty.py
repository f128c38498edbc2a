"""A third party's package: names added through entry points. With this folder on the path they are registered."""

from __future__ import annotations

import os
import signal
import time

from torch.optim.optimizer import register_optimizer_step_post_hook

from rewardkit.judge.fake import FakeBackend
from rewardkit.reward_model.losses import bradley_terry

_steps = 0


def _count(*_):
    global _steps
    _steps += 1


def fragile_loss(reward_a, reward_b, p_a, sample_weight):
    """Bradley–Terry; in training step number FRAGILE_AT the process gets the signal FRAGILE_SIGNAL, once."""
    last = int(os.environ.get("FRAGILE_AT", "0"))
    if last and not _steps:
        register_optimizer_step_post_hook(_count)
        _count()
    if last and reward_a.requires_grad and _steps == last:
        os.environ["FRAGILE_AT"] = "0"
        os.kill(os.getpid(), getattr(signal, os.environ["FRAGILE_SIGNAL"]))
    return bradley_terry(reward_a, reward_b, p_a, sample_weight)


class SlowBackend(FakeBackend):
    """The fake backend, which takes SLOW_SECONDS for every batch."""

    name = "slow"

    def complete(self, requests):
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        return super().complete(requests)


class Impostor:
    """Declared under a name of rewardkit's own, which it must not take."""
