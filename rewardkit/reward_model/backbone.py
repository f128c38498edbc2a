"""The network: a causal language model, LoRA adapters, and a float32 scalar head read at the last token.

`RewardNetwork` holds a peft model over `AutoModelForSequenceClassification`, so that what it saves is
what plain transformers + peft load. It pools by the attention mask; the library's own pooling looks for
the pad id, which is wrong wherever the pad token also ends a turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardkit.batching import token_budget_batches
from rewardkit.config import TrainConfig
from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import dtype_of, quiet_loading
from rewardkit.models import ModelFolder

# Tokens of rows that are computed together on a CPU; more gains nothing there, and pads more.
CPU_GROUP_TOKENS = 1024


class RewardNetwork(nn.Module):
    """Token ids to rewards.

    Args:
        model: A (peft-wrapped) sequence-classification model with one label and a `score` head.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def classifier(self) -> Any:
        """The sequence-classification model inside the adapters."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the reward of each sequence.

        Args:
            input_ids: (batch, length), padded on either side.
            attention_mask: (batch, length), 1 for tokens and 0 for padding.

        Returns:
            Rewards in float32, (batch,).
        """
        lengths = attention_mask.sum(-1).tolist()
        groups = token_budget_batches(lengths, CPU_GROUP_TOKENS) if input_ids.device.type == "cpu" else [[*lengths]]
        if len(groups) == 1:
            return self._rewards(input_ids, attention_mask)
        # Padding is computed like text: rows of like length go together, trimmed to their own longest.
        parts = [self._rewards(*_trimmed(input_ids[rows], attention_mask[rows])) for rows in groups]
        order = torch.tensor([row for rows in groups for row in rows])
        return torch.cat(parts)[order.argsort()]

    def _rewards(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        classifier = self.classifier
        positions = (attention_mask.cumsum(-1) - 1).clamp_min(0)
        hidden = classifier.base_model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        columns = torch.arange(attention_mask.shape[1], device=attention_mask.device)
        last = (attention_mask * columns).argmax(-1)
        pooled = hidden[torch.arange(hidden.shape[0], device=hidden.device), last]
        reward: Tensor = classifier.score(pooled.float()).squeeze(-1)
        return reward

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def _trimmed(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cut off the columns that are padding in every row."""
    used = attention_mask.any(0).nonzero()
    columns = slice(int(used.min()), int(used.max()) + 1)
    return input_ids[:, columns], attention_mask[:, columns]


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
    model = load_classifier(folder.path, tokenizer, dtype=dtype_of(config.dtype))
    lora = config.lora
    modules = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    adapters = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules,
        modules_to_save=["score"],
    )
    model.config.use_cache = False
    with quiet_loading():
        return RewardNetwork(peft.get_peft_model(model, adapters))


def load_classifier(path: Path, tokenizer: Any, *, dtype: torch.dtype) -> Any:
    """Load a base model with a scalar float32 head.

    Raises:
        ModelError: It cannot be loaded, or its class has no `score` head.
    """
    transformers, safetensors = require("transformers", "train"), require("safetensors", "train")
    try:
        with quiet_loading():
            model = transformers.AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=dtype)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"no reward model can be built on it: {error}", where=str(path), expected="a causal language model"
        ) from error
    if not isinstance(getattr(model, "score", None), nn.Linear):
        raise ModelError(
            f"{type(model).__name__} has no scalar `score` head",
            where=str(path),
            expected="a causal language model (Llama, Qwen, Gemma, Mistral, SmolLM, …)",
        )
    model.score.float()
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.problem_type = "regression"
    return model
