"""A third party's package: names added through entry points. With this folder on the path they are registered."""

from __future__ import annotations

import os
import signal
import time

from rewardkit.judge.fake import FakeBackend
from rewardkit.reward_model.losses import bradley_terry

_calls = 0


def fragile_loss(reward_a, reward_b, p_a, sample_weight):
    """Bradley–Terry; at training step number FRAGILE_AT the process gets the signal FRAGILE_SIGNAL."""
    global _calls
    _calls += reward_a.requires_grad
    if reward_a.requires_grad and _calls == int(os.environ.get("FRAGILE_AT", "0")):
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
