"""The network: a language model or an encoder, LoRA adapters, and a float32 head.

The head's first output is the reward, the others are criteria and what stands for the variance. An ensemble has several
sets of adapters and heads over one base. `RewardNetwork` holds a peft model over `AutoModelForSequenceClassification`,
so that what it saves is what plain transformers + peft load. It reads the reward at a sequence's own last token; the
library's own pooling looks for the pad id, which is wrong wherever the pad token also ends a turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardkit.attending import Memory, Packable, inputs, padded, prepare, turns
from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import NF4, device, dtype_of, quiet_loading
from rewardkit.launching import launched
from rewardkit.models import ModelFolder
from rewardkit.packing import group_of_first, groups, pack
from rewardkit.progress import log
from rewardkit.reward_model import four_bits
from rewardkit.reward_model.adapters import fuse
from rewardkit.reward_model.heads import PAIR_TEMPLATE, SPARED, Head, head_of, in_float32
from rewardkit.reward_model.trunk import Trunk

FIRST = "default"
CPU_TOKENS, DEVICE_TOKENS = 2048, 16384
"""Tokens of a forward pass, at most: more gain nothing, and take memory."""


class RewardNetwork(nn.Module):
    """Token ids to rewards.

    What sequences begin with stands once in a row, and nothing is padded (see `packing`). A model that cannot read such
    rows gets one row a sequence, padded to the longest.

    Args:
        model: A (peft-wrapped) sequence-classification model with a `score` head, where it is to compute. Its adapters
            are the members of an ensemble.
        frozen: How many of its layers, from the first, never change: what they make of a text is computed once for all
            members, and kept in training.
    """

    def __init__(self, model: Any, *, frozen: int = 0) -> None:
        super().__init__()
        self.model = model
        self.members: list[str] = list(getattr(model, "peft_config", [FIRST]))
        self._trunk = Trunk(self.classifier.base_model.layers[:frozen]) if frozen else None
        fuse(model)
        head = head_of(self.classifier)
        assert head is not None
        self.head = head
        self._packable = Packable(0, "it reads in both directions") if head.encoder else prepare(self.classifier.eval())
        if self._packable.why and not head.encoder:
            whole = f"texts of more than {n:,} tokens" if (n := self._packable.longest) else "texts"
            log(f"reward model: {whole} are run whole and padded, which takes longer: {self._packable.why}")

    @property
    def classifier(self) -> Any:
        """The sequence-classification model inside the adapters."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def tokens(self) -> int:
        """How many tokens go through it at a time, at most."""
        return CPU_TOKENS if self.device.type == "cpu" else DEVICE_TOKENS

    def forward(self, sequences: Sequence[list[int]], member: int | None = None, passes: int = 0) -> Tensor:
        """Return what the heads say of each sequence at its last token.

        Args:
            sequences: (sequences,) token ids.
            member: The only member that is asked; it stays the one whose adapters are active, so that layers that are
                computed once more on the way back are its own. All members if absent.
            passes: How often the model is run at least, for nothing where the sequences need less (see `sharding`).

        Returns:
            In float32, (members, sequences, outputs): the reward, the criteria, and what stands for the variance.
        """
        members = range(len(self.members)) if member is None else [member]
        groups = self.batches(sequences, self.tokens)
        parts = [self._read([sequences[place] for place in group], members) for group in groups]
        order = torch.tensor([place for group in groups for place in group], dtype=torch.long, device=self.device)
        idle = [self._read([[0]], members) for _ in range(passes - len(groups))]
        # Of what runs for nothing no row is left, but its place in the order of the way back.
        return torch.cat([*parts, *(each[:, :0] for each in idle)], dim=1)[:, order.argsort()]

    def rewards(self, sequences: Sequence[list[int]]) -> Tensor:
        """Return the reward of each sequence, the mean over the members, (sequences,)."""
        found: Tensor = self(sequences)[..., 0].mean(dim=0)
        return found

    def _read(self, sequences: Sequence[list[int]], members: Sequence[int]) -> Tensor:
        """Return what the heads say of sequences that are run together, (members, sequences, outputs)."""
        read = self._as_encoder if self.head.encoder else self._packed if self._packs(sequences) else self._padded
        return torch.stack(list(read(sequences, members)))

    def batches(self, sequences: Sequence[list[int]], budget: int) -> list[list[int]]:
        """Group sequences that are best read together.

        Args:
            sequences: (sequences,) token ids.
            budget: Tokens of a group, padding included.

        Returns:
            Groups of places in `sequences`.
        """
        return groups(sequences, budget, longest=self._packable.longest, turns=turns(self.classifier))

    def with_first(self, sequences: Sequence[list[int]], budget: int) -> list[int]:
        """Choose what is best read together with the first of some sequences.

        Args:
            sequences: (sequences,) token ids.
            budget: Tokens of a group, padding included.

        Returns:
            Places in `sequences`, 0 among them.
        """
        return group_of_first(sequences, budget, longest=self._packable.longest, turns=turns(self.classifier))

    def _packs(self, sequences: Sequence[list[int]]) -> bool:
        return max(map(len, sequences)) <= self._packable.longest

    def _packed(self, sequences: Sequence[list[int]], members: Iterable[int]) -> Iterator[Tensor]:
        """Yield what each member's head says of each sequence, (sequences, outputs)."""
        packed, body = pack(sequences), self.classifier.base_model
        told, ends = inputs(packed, Memory(), self.device), torch.tensor(packed.ends, device=self.device)
        states = self._trunk.states(packed, sequences, lambda: body(**told)) if self._trunk else None
        for member in members:
            self._ask(member)
            with self._trunk.standing_for(states) if self._trunk and states is not None else nullcontext():
                hidden = body(**told).last_hidden_state
            yield self._head(hidden[0, ends])

    def _padded(self, sequences: Sequence[list[int]], members: Iterable[int]) -> Iterator[Tensor]:
        rows = torch.arange(len(sequences), device=self.device)
        ends = torch.tensor([len(ids) - 1 for ids in sequences], device=self.device)
        for member in members:
            self._ask(member)
            hidden = self.classifier.base_model(**padded(sequences, self.device)).last_hidden_state
            yield self._head(hidden[rows, ends])

    def _as_encoder(self, sequences: Sequence[list[int]], members: Iterable[int]) -> Iterator[Tensor]:
        """Yield what each member says, as the model's own class reads padded rows."""
        for member in members:
            self._ask(member)
            yield self.classifier(**padded(sequences, self.device)).logits

    def _head(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.classifier.score(hidden)
        return found

    def _ask(self, member: int) -> None:
        """Let one member's adapters and head compute."""
        if len(self.members) > 1:
            self.model.set_adapter(self.members[member], inference_mode=not torch.is_grad_enabled())
            if torch.is_grad_enabled():
                self.let_all_learn()

    def let_all_learn(self) -> None:
        """Let the adapters and heads of all members take gradients; peft lets only those do that compute."""
        for parameter in chain.from_iterable(self.learned()):
            parameter.requires_grad_(True)

    def learned(self) -> list[list[nn.Parameter]]:
        """Return each member's adapters and heads."""
        found: dict[str, list[nn.Parameter]] = {member: [] for member in self.members}
        for name, parameter in self.model.named_parameters():
            if ".lora_" in name or ".modules_to_save." in name:
                found[next(part for part in name.split(".") if part in found)].append(parameter)
        return list(found.values())

    def train(self, mode: bool = True) -> RewardNetwork:
        """Let layers that learn drop out; frozen ones say the same in training."""
        super().train(mode)
        if self._trunk is not None:
            self._trunk.eval()
        return self


def load_tokenizer(path: Path, pad_token: str | None = None) -> Any:
    """Load a tokenizer whose pad token is not the token at which rewards are read.

    Raises:
        ModelError: It cannot be loaded, or no pad token can be chosen.
    """
    transformers = require("transformers", "train")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no tokenizer could be loaded: {error}", where=str(path), expected="a folder that transformers loads"
        ) from error
    tokenizer.padding_side = "right"
    if not tokenizer.chat_template and tokenizer.cls_token and tokenizer.sep_token:
        tokenizer.chat_template = PAIR_TEMPLATE
    if pad_token is not None and pad_token not in tokenizer.get_vocab():
        raise ModelError(
            f"the pad token {pad_token!r} is not in the vocabulary",
            where=str(path),
            expected=f"one of its special tokens: {', '.join(tokenizer.all_special_tokens)}",
            fix="correct train.pad_token",
        )
    tokenizer.pad_token = pad_token or _pad_token(tokenizer)
    return tokenizer


def _pad_token(tokenizer: Any) -> str:
    """Choose the pad token: the tokenizer's own unless it ends turns, else its unknown token.

    Plain transformers read the reward at the last token that is not the pad id; with a pad token that
    also ends the response they would read it one token too early.
    """
    own, turn_end, unknown = tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token
    if own is not None and own != turn_end:
        return str(own)
    if unknown is not None and unknown != turn_end:
        return str(unknown)
    raise ModelError(
        "the tokenizer has no pad token that differs from its end-of-turn token",
        where=str(tokenizer.name_or_path),
        expected=f"one of its special tokens: {', '.join(tokenizer.all_special_tokens)}",
        fix="set train.pad_token to a special token that responses never contain",
    )


def build_network(folder: ModelFolder, tokenizer: Any, config: TrainConfig, *, seed: int) -> RewardNetwork:
    """Build an untrained reward network: frozen base, fresh adapters and head.

    Raises:
        ModelError: The folder holds no model that takes a scalar head.
    """
    peft = require("peft", "train")
    torch.manual_seed(seed)
    model = load_classifier(folder.path, tokenizer, dtype=config.dtype, outputs=config.outputs)
    lora, frozen, head = config.lora, frozen_layers(model, config), head_of(model)
    assert head is not None
    modules = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    if frozen:
        modules = _modules_above(model, frozen, modules)
    adapters = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
        target_modules=modules,
        modules_to_save=head.saved(),
        exclude_modules=rf".*\b({'|'.join(head.saved())})\b.*" if head.encoder else None,
    )
    model.config.use_cache = False
    with quiet_loading():
        wrapped = peft.get_peft_model(model, adapters)
        for name in member_names(config.members)[1:]:
            _add_member(wrapped, name, adapters, head)
    if config.checkpointing:
        # The name of before is deprecated where the new one is.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    # One that is to be in parts may be too large for any device.
    place = "cpu" if config.sharded and launched().several else device()
    return RewardNetwork(wrapped.to(place), frozen=frozen)


def member_names(count: int) -> list[str]:
    """Return what the members' adapters are called, the first as peft calls the only one."""
    return [FIRST, *(f"member{number}" for number in range(2, count + 1))]


def _add_member(wrapped: Any, name: str, adapters: Any, head: Head) -> None:
    """Add adapters of their own draw, and a head of its own: peft would give every member the same."""
    wrapped.add_adapter(name, adapters)
    output = getattr(wrapped.get_base_model(), head.output).modules_to_save[name]
    nn.init.normal_(output.weight, std=wrapped.get_base_model().config.initializer_range)


def frozen_layers(model: Any, config: TrainConfig) -> int:
    """Return how many layers, from the first, get no adapters.

    Raises:
        ModelError: The model has no such layers, or too few.
    """
    if config.train_layers is None:
        return 0
    layers = getattr(model.base_model, "layers", None)
    if not isinstance(layers, nn.ModuleList) or config.train_layers > len(layers):
        raise ModelError(
            f"the last {config.train_layers} layers cannot be trained alone",
            where=config.model,
            expected=f"at most {len(layers)}" if isinstance(layers, nn.ModuleList) else "a model that has `layers`",
            fix="lower train.train_layers, or leave it out",
        )
    return len(layers) - config.train_layers


def _modules_above(model: Any, frozen: int, wanted: str | list[str]) -> list[str]:
    """Return the names of linear layers above the frozen ones.

    Args:
        model: Without adapters.
        frozen: How many layers are, from the first.
        wanted: As peft takes it: "all-linear", a pattern of whole names, or ends of names.
    """
    prefix = f"{model.base_model_prefix}.layers."
    named = (name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    above = [name for name in named if name.startswith(prefix) and int(name[len(prefix) :].split(".")[0]) >= frozen]
    found = [name for name in above if _is_wanted(name, wanted)]
    if not found:
        raise ModelError("no layer of this name is trained", where="train.lora.target_modules", expected="all-linear")
    return found


def _is_wanted(name: str, wanted: str | list[str]) -> bool:
    if isinstance(wanted, str):
        return wanted == "all-linear" or re.fullmatch(wanted, name) is not None
    return any(f".{name}".endswith(f".{end}") for end in wanted)


def load_classifier(path: Path, tokenizer: Any, *, dtype: str, outputs: int = 1) -> Any:
    """Load a base model with a float32 head.

    Args:
        path: The base model.
        tokenizer: Tells the pad token.
        dtype: Of all but the head; "nf4" has its linear layers in four bits.
        outputs: Of the head.

    Raises:
        ModelError: It cannot be loaded, or its class has no `score` head.
        MissingExtraError: It is to have four bits, and bitsandbytes is not installed.
    """
    transformers, safetensors = require("transformers", "train"), require("safetensors", "train")
    # Weights are brought into four bits where they are to stay: of several processes, each on a device of its own.
    more = {"quantization_config": four_bits.settings(SPARED), "device_map": {"": device()}} if dtype == NF4 else {}
    try:
        with quiet_loading():
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                path, num_labels=outputs, dtype=dtype_of(dtype), **more
            )
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"no reward model can be built on it: {error}", where=str(path), expected="a causal language model"
        ) from error
    head = head_of(model)
    if head is None or not isinstance(getattr(model, head.output), nn.Linear):
        raise ModelError(
            f"{type(model).__name__} has no scalar `score` head",
            where=str(path),
            expected="a causal language model (Llama, Qwen, Gemma, Mistral, SmolLM, …), BERT or ModernBERT",
        )
    if dtype == NF4:
        four_bits.compute_here(model)
    in_float32(model, head)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.problem_type = "regression"
    return model
