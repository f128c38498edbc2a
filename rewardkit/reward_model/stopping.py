"""Ctrl-C during training: the step in hand is ended and a checkpoint saved, by all processes of a launch together."""

from __future__ import annotations

import math
import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from rewardkit.progress import Advance, log, progress


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Shows progress, and ends training at the end of a step once `interrupted` is set."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.interrupted, self.at = advance, False, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step; on Ctrl-C ask for a checkpoint and stop."""
        self.advance(state.global_step - self.at)
        self.at = state.global_step
        self.interrupted = _any(self.interrupted)
        if self.interrupted:
            control.should_save = control.should_training_stop = True


def _any(mine: bool) -> bool:
    """Tell whether one of the processes says yes: all must stop after the same step."""
    if not torch.distributed.is_initialized():
        return mine
    device = "cpu" if torch.distributed.get_backend() == "gloo" else torch.accelerator.current_accelerator()
    said = torch.tensor([float(mine)], device=device)
    torch.distributed.all_reduce(said, op=torch.distributed.ReduceOp.MAX)
    return bool(said.item())


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C end the step in hand and save a checkpoint, instead of losing what was learned since the last."""
    per_epoch = len(trainer.get_train_dataloader()) / trainer.args.gradient_accumulation_steps
    total = math.ceil(math.ceil(per_epoch) * trainer.args.num_train_epochs)
    with progress("train", total) as advance:
        steps = _Steps(advance)
        trainer.add_callback(steps)

        def interrupt(_number: int, _frame: types.FrameType | None) -> None:
            steps.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            log("train: stopping after this step; run the same command to resume")

        previous = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
    if steps.interrupted:
        raise KeyboardInterrupt
