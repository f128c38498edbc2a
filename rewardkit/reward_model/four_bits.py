"""A frozen base in four bits: QLoRA (Dettmers et al. 2023, arXiv:2305.14314).

bitsandbytes holds the weights; what its layers compute is computed here. On a CPU its own path has wrong gradients once
a layer has run in evaluation mode (0.50: the cosine to those of the same weights in float32 was down to -0.9).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewardkit.extras import require
from rewardkit.hardware import NF4, dtype_of

EXTRA = "qlora"


class _Linear(torch.autograd.Function):
    """y = x Wᵀ + bias, where W is whole only while it is multiplied by."""

    @staticmethod
    def forward(context: Any, x: Tensor, whole: Callable[[torch.dtype], Tensor], bias: Tensor | None) -> Tensor:
        """Return `(…, out)` of x `(…, in)`; `whole` gives the weights, `(out, in)`."""
        context.whole = whole
        return functional.linear(x, whole(x.dtype), bias)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of x."""
        return grad @ context.whole(grad.dtype), None, None


def settings(spared: list[str]) -> Any:
    """Return how transformers loads a base in four bits, for `quantization_config`.

    Args:
        spared: Names of modules that keep their weights.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    require("bitsandbytes", EXTRA)
    return require("transformers", "train").BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=NF4,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype_of(NF4),
        llm_int8_skip_modules=spared,
    )


def compute_here(model: nn.Module) -> None:
    """Let a model's layers of four bits compute as this module has it."""
    layer = require("bitsandbytes", EXTRA).nn.Linear4bit
    for module in model.modules():
        if isinstance(module, layer):
            module.forward = partial(_forward, module)


def _forward(layer: Any, x: Tensor) -> Tensor:
    found: Tensor = _Linear.apply(x, partial(_whole, layer), layer.bias)  # type: ignore[no-untyped-call]
    return found


def _whole(layer: Any, dtype: torch.dtype) -> Tensor:
    functions = require("bitsandbytes", EXTRA).functional
    found: Tensor = functions.dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
    return found
