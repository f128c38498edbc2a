"""LoRA on frozen linear layers, in one step forward and one backward.

peft's layers hold and save the adapters; what they compute is computed here, because a layer of peft's casts all of its
inputs to the adapters' float32, multiplies there, and leaves five steps for autograd to remember.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _LowRank(torch.autograd.Function):
    """y = x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ with a frozen W (Hu et al. 2021, arXiv:2106.09685, equation 3).

    Products are in the dtype of x, as in mixed precision; A and B are kept, and learn, in their own.
    """

    @staticmethod
    def forward(  # noqa: PLR0913 - what autograd is to know must be an argument
        context: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        """Return `(…, out)` of x `(…, in)`, weight `(out, in)`, a `(r, in)` and b `(out, r)`."""
        rows = x.reshape(-1, x.shape[-1])
        down, up = a.to(x.dtype), b.to(x.dtype)
        low = rows @ down.t()
        y = functional.linear(rows, weight, bias).addmm_(low, up.t(), alpha=scaling)
        context.save_for_backward(rows, weight, down, up, low)
        context.scaling, context.shape, context.dtypes = scaling, x.shape, (a.dtype, b.dtype)
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, a and b."""
        rows, weight, down, up, low = context.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        through = (grad @ up).mul_(context.scaling)
        of_a = (through.t() @ rows).to(context.dtypes[0])
        of_b = (grad.t() @ low).mul_(context.scaling).to(context.dtypes[1])
        of_x = None
        if context.needs_input_grad[0]:
            of_x = (grad @ weight).addmm_(through, down).view(context.shape)
        return of_x, None, None, of_a, of_b, None


def fuse(model: nn.Module) -> None:
    """Let the plain LoRA layers of a peft model compute in one step; all others go on as they are."""
    from peft.tuners.lora import Linear

    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is nn.Linear and not module.lora_variant:
            module.forward = _Fused(module, module.forward)


class _Fused:
    """The forward pass of one layer."""

    def __init__(self, layer: Any, plain: Any) -> None:
        self._layer, self._plain = layer, plain

    def __call__(self, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        layer = self._layer
        names = [name for name in layer.active_adapters if name in layer.lora_A]
        if layer.disable_adapters or layer.merged or len(names) != 1 or arguments or named:
            plain: Tensor = self._plain(x, *arguments, **named)
            return plain
        a, b, scaling = layer.lora_A[names[0]].weight, layer.lora_B[names[0]].weight, layer.scaling[names[0]]
        dropout, base = layer.lora_dropout[names[0]], layer.base_layer
        if layer.training and not isinstance(dropout, nn.Identity):
            low = functional.linear(dropout(x), a.to(x.dtype))
            found: Tensor = functional.linear(x, base.weight, base.bias)
            return found.add(functional.linear(low, b.to(x.dtype)), alpha=scaling)
        fused: Tensor = _LowRank.apply(x, base.weight, base.bias, a, b, scaling)  # type: ignore[no-untyped-call]
        return fused
