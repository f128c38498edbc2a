"""Soft-label training of a reward network on transformers.Trainer.

The Trainer brings resume, mixed precision, the best checkpoint and TensorBoard; here are only the loss,
the batches, and what a checkpoint of adapters is. Several processes (torchrun, accelerate launch) each take batches of
their own; a step's gradients are the mean of theirs.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from transformers import PrinterCallback, Trainer, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME

from rewardkit.config import TrainConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.launching import FSDP, launched
from rewardkit.progress import log
from rewardkit.reward_model.backbone import FIRST, RewardNetwork
from rewardkit.reward_model.collation import (
    Encoded,
    EncodedSet,
    Group,
    GroupCollator,
    UnitSampler,
    criterion_scales,
    encode_examples,
    in_spreads,
    length_slope,
    unit_mean_weights,
)
from rewardkit.reward_model.folder import ADAPTERS, CriterionScale, LoadedModel
from rewardkit.reward_model.losses import loss_of
from rewardkit.reward_model.objective import Objective
from rewardkit.reward_model.sharding import check_shardable, in_step, shard
from rewardkit.reward_model.stopping import interruptible
from rewardkit.types import PreferenceExample

TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class TrainingResult:
    """What training did.

    Attributes:
        history: Rows of {"step", "loss" or "validation_loss", …} in the order of steps.
        n_train: Comparisons trained on.
        n_validation: Comparisons that the validation loss is measured on.
        truncated: Comparisons of which a text was cut.
        dropped: Comparisons left out (weight 0, or too long under that policy).
        tokens: Tokens of the different training texts, padding excluded.
        best_step: Step whose weights were kept.
    """

    history: list[dict[str, float]]
    n_train: int
    n_validation: int
    truncated: int
    dropped: int
    tokens: int
    best_step: int


def train(
    model: LoadedModel,
    examples: Sequence[PreferenceExample],
    config: TrainConfig,
    *,
    folder: Path,
    seed: int,
) -> TrainingResult:
    """Train a reward network in place, from the last checkpoint in the folder if there is one.

    Args:
        model: The untrained model.
        examples: Soft preferences; those of the splits "train" and "validation" are used.
        config: How to train.
        folder: Where checkpoints are kept while training runs; TensorBoard's logs go beside it.
        seed: Seed of the order of batches and of dropout.

    Raises:
        DataError: Nothing is left to train or validate on.
        KeyboardInterrupt: Ctrl-C; a checkpoint was saved at the end of the step.
    """
    _check_launch(model, config)
    training = _encode(examples, "train", model, config)
    validation = _encode(examples, "validation", model, config)
    scales = _scales(training, config)
    model.card = model.card.model_copy(update={"criteria": scales})
    length = length_slope(training.items) if config.length_term else 0.0
    if config.length_term:
        log(f"train: a doubling of length is worth {length:.2f} nats to the annotators, which is left out of rewards")
    sizes = len(training.items), len(validation.items)
    arguments = _arguments(config, folder, sizes=sizes, seed=seed)
    sharded = config.sharded and launched().several
    if sharded:
        shard(model.network)
    trainer = PreferenceTrainer(
        model=model.network,
        args=arguments,
        train_dataset=_weighed(training, scales),
        eval_dataset=_weighed(validation, scales),
        data_collator=GroupCollator(model.network.tokens),
        loss=Objective(
            loss_of(config.loss, config.loss_options),
            centring=config.centring,
            criteria=config.criteria_weight,
            length=length,
            variance=config.variance_head,
        ),
        max_grad_norm=config.max_grad_norm,
        passes=in_step if sharded else list,
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.is_world_process_zero():
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder.parent / TENSORBOARD))))
    _announce(training, validation, trainer.args)
    # The first process drops what is torn before the others look.
    with arguments.main_process_first(local=False):
        checkpoint = _last_checkpoint(folder)
    with interruptible(trainer):
        trainer.train(resume_from_checkpoint=checkpoint)
    model.network.eval()
    best = trainer.state.best_global_step or trainer.state.global_step
    return TrainingResult(
        history=_history(trainer.state.log_history),
        n_train=len(training.items),
        n_validation=len(validation.items),
        truncated=training.truncated + validation.truncated,
        dropped=training.dropped + validation.dropped,
        tokens=training.tokens,
        best_step=int(best),
    )


def _check_launch(model: LoadedModel, config: TrainConfig) -> None:
    """Check that as many processes as there are can learn as the config says.

    Raises:
        ConfigError: They cannot.
    """
    if launched().several and config.checkpointing and config.members > 1:
        raise ConfigError(
            "members cannot learn in several processes with checkpointing",
            where="train.checkpointing",
            fix="leave one of the three out",
        )
    if config.sharded:
        check_shardable(model.network, config)
        # Trainer would put adapters in parts too.
        os.environ.pop(FSDP, None)
        if not launched().several:
            log("train: the base stays whole in one process; torchrun or accelerate launch starts several")


class PreferenceTrainer(Trainer):  # type: ignore[misc]
    """A Trainer for comparisons whose checkpoints hold the adapters and the heads only."""

    def __init__(
        self, *, loss: Objective, max_grad_norm: float, passes: Callable[[list[int]], list[int]] = list, **more: Any
    ) -> None:
        super().__init__(**more)
        self._loss, self._max_grad_norm, self._passes = loss, max_grad_norm, passes
        self.can_return_loss = True
        self._network.let_all_learn()

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, list[Group]], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Add the gradients of a batch of comparisons, group by group and member by member; return its mean loss."""
        model.train()
        groups, count = inputs["groups"], len(self._network.members)
        share = 1.0 / (sum(map(len, groups)) * self.current_gradient_accumulation_steps)
        total = torch.zeros((), device=self.args.device)
        planned = self._planned(groups)
        turns: list[tuple[Group | None, int, int | None]] = [(*p, member) for p in planned for member in range(count)]
        if self.args.world_size > 1:
            # The last turn adds up the gradients of all processes: those of all members must be in it.
            turns = [*turns[:-count], (*planned[-1], None)]
        for number, (group, passes, member) in enumerate(turns, start=1):
            with nullcontext() if number == len(turns) else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    outputs = model(group.sequences if group else [], member, passes)
                    losses = [self._loss(each, group).sum() if group else each.sum() for each in outputs]
                    loss = torch.stack(losses).sum() * share
                self.accelerator.backward(loss)
            total += loss.detach() / count
        if self.accelerator.sync_gradients:
            for parameters in self._network.learned():
                torch.nn.utils.clip_grad_norm_(parameters, self._max_grad_norm)
        return total

    def _planned(self, groups: Sequence[Group]) -> list[tuple[Group | None, int]]:
        """Return the groups, each with how often the model is run for it; None where only other processes have one."""
        network = self._network
        counts = self._passes([len(network.batches(group.sequences, network.tokens)) for group in groups])
        return list(zip_longest(groups, counts))

    @property
    def _network(self) -> RewardNetwork:
        found: RewardNetwork = self.accelerator.unwrap_model(self.model)
        return found

    def _get_train_sampler(self, train_dataset: Any = None) -> UnitSampler:
        batch = self.args.per_device_train_batch_size * self.args.world_size
        return UnitSampler(train_dataset or self.train_dataset, self.args.data_seed, batch)

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, list[Group]],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor, None, None]:
        """Return the loss of a batch, the mean over members; Trainer's own looks for labels that comparisons lack."""
        losses = []
        with torch.no_grad(), self.compute_loss_context_manager():
            for group, passes in self._planned(inputs["groups"]):
                outputs = model(group.sequences if group else [], None, passes)
                losses += [self._loss(each, group) for each in outputs if group]
        return torch.cat(losses).mean(), None, None

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        self._network.model.save_pretrained(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_adapters(self._network, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            self._load_from_checkpoint(self.state.best_model_checkpoint)


def load_adapters(network: RewardNetwork, checkpoint: Path) -> None:
    """Load adapters and heads of a checkpoint into a network of the same shape."""
    for name in network.members:
        state = load_file((checkpoint if name == FIRST else checkpoint / name) / ADAPTERS)
        expected = set(get_peft_model_state_dict(network.model, adapter_name=name))
        if set(state) != expected:
            raise DataError(
                "the checkpoint does not fit the network", where=str(checkpoint), fix="delete the run's train folder"
            )
        set_peft_model_state_dict(network.model, state, adapter_name=name)


def _scales(training: EncodedSet, config: TrainConfig) -> tuple[CriterionScale, ...]:
    """Return the scales of the criteria that are to be learned.

    Raises:
        DataError: One of them was never rated.
    """
    rated = Counter(each.column for item in training.items for each in item.rated)
    for column, name in enumerate(config.criteria):
        if not rated[column]:
            among = (
                f"the {config.max_examples} comparisons of train.max_examples"
                if config.max_examples
                else "the train split"
            )
            raise DataError(
                f"no response of {among} has a rating on {name!r} that counts",
                where="train.criteria",
                expected="ratings by people, or by judges whose ratings rise with theirs (see diagnostics.json)",
                fix="rate responses, or leave the criterion out",
            )
    found = criterion_scales(training.items, len(config.criteria))
    return tuple(
        CriterionScale(name=name, mean=mean, spread=spread)
        for name, (mean, spread) in zip(config.criteria, found, strict=True)
    )


def _weighed(encoded: EncodedSet, scales: Sequence[CriterionScale]) -> list[Encoded]:
    return in_spreads(unit_mean_weights(encoded.items), [(each.mean, each.spread) for each in scales])


def _encode(examples: Sequence[PreferenceExample], split: str, model: LoadedModel, config: TrainConfig) -> EncodedSet:
    limit = config.max_examples if split == "train" else None
    # What weighs nothing is dropped below, and must not use up the limit.
    chosen = [e for e in examples if e.preference.split == split and (limit is None or e.preference.sample_weight > 0)]
    # Comparisons of one unit stand together, so that a batch holds as few different texts as it can.
    chosen = sorted(chosen, key=lambda e: e.preference.unit)[:limit]
    encoded = encode_examples(chosen, model.renderer, config.criteria)
    if not encoded.items:
        raise DataError(
            f"no comparison of the split {split!r} can be used",
            where="the aggregated preferences",
            expected=f"at least one; {len(chosen)} were there{_most_frequent(encoded)}",
            fix="add labels, change aggregate.split, or train.too_long and train.max_length",
        )
    return encoded


def _most_frequent(encoded: EncodedSet) -> str:
    return "".join(f", {count} left out: {reason}" for reason, count in encoded.reasons.most_common(1))


def _arguments(config: TrainConfig, folder: Path, *, sizes: tuple[int, int], seed: int) -> TrainingArguments:
    n_train, n_validation = sizes
    batches = math.ceil(n_train / (config.batch_size * launched().count))
    steps_per_epoch = math.ceil(batches / config.gradient_accumulation)
    total = max(1, math.ceil(steps_per_epoch * config.epochs))
    every = max(1, total // config.evaluations)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size,
        # In one batch, cut into groups: texts of several comparisons are run once, and the mean is that of all of them.
        per_device_eval_batch_size=n_validation,
        gradient_accumulation_steps=config.gradient_accumulation,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=math.ceil(config.warmup_ratio * total),
        weight_decay=config.weight_decay,
        # Gradients are clipped here, those of each member by themselves.
        max_grad_norm=0.0,
        lr_scheduler_type=config.scheduler,
        eval_strategy="steps",
        save_strategy="steps",
        logging_strategy="steps",
        eval_steps=every,
        save_steps=every,
        logging_steps=max(1, total // 50),
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        # Processes on CPUs are found only where that is asked for.
        use_cpu=not torch.accelerator.is_available(),
        ddp_backend=None if torch.accelerator.is_available() or launched().count == 1 else "gloo",
        ddp_find_unused_parameters=False,
        report_to=[],
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )
    # One process has one device; on several, Trainer would split a batch whose members share what they begin with.
    if launched().count == 1 and arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def _announce(training: EncodedSet, validation: EncodedSet, arguments: TrainingArguments) -> None:
    log(
        f"train: {len(training.items)} comparisons, {training.tokens} tokens of different texts, "
        f"{arguments.num_train_epochs:g} epochs; validation: {len(validation.items)} comparisons; "
        f"{training.truncated + validation.truncated} truncated, "
        f"{training.dropped + validation.dropped} left out; device {arguments.device}"
    )


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest whole checkpoint; one that was being written when a run was killed is dropped."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    while found and not _is_whole(found[-1]):
        shutil.rmtree(found.pop())
    if not found:
        return None
    log(f"train: resuming from {found[-1].name}")
    return str(found[-1])


def _is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was written to its end: its state comes last."""
    try:
        TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    except (OSError, ValueError):
        return False
    return True


def _history(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    kept = []
    for row in rows:
        if "loss" in row:
            kept.append({"step": row["step"], "loss": row["loss"], "learning_rate": row["learning_rate"]})
        elif "eval_loss" in row:
            kept.append({"step": row["step"], "validation_loss": row["eval_loss"]})
    return kept
