"""Linear layers that are multiplied during the all-gather of their input.

A module's boundary gathers a tensor that goes unchanged into linear layers below. While other ranks' slices
are under way, the boundary multiplies this rank's slice with the layers' weights. A layer that is then called
with the gathered tensor itself returns its product; called with any other tensor, it computes as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.torch.apply import c10d
from planc.torch.apply.collectives import is_untraced, reduce_scatter
from planc.torch.apply.module_runtime import ForwardStep
from planc.torch.apply.overlapped_matmul import (
    all_gather_matmul,
    gathered_grad,
    reduce_scatter_and_weight_grads,
    weight_grads,
)
from planc.torch.apply.param_swap import ParamSwap

MIN_OVERLAP_BYTES = 16 << 20
"""Bytes of a rank's slice from which overlap pays: below, the additional calls take longer than they hide."""


class OverlappedLinear(ForwardStep):
    """Returns the product of a linear layer if it is computed already."""

    def __init__(self, layer: nn.Module, weight: ParamSwap, bias: ParamSwap | None) -> None:
        self.layer, self.weight, self.bias = layer, weight, bias
        self._input: Tensor | None = None
        self._product: Tensor | None = None

    def set_product(self, gathered: Tensor | None, product: Tensor | None) -> None:
        """Keep the product of a tensor for the next call; None: forget it."""
        self._input, self._product = gathered, product

    def run(self, *args: Any, **kwargs: Any) -> Any:
        product = self._product
        if product is not None and len(args) == 1 and args[0] is self._input and not kwargs:
            self.set_product(None, None)
            return product
        return self.inner(*args, **kwargs)


class AllGatherMatmul:
    """The all-gather of one input, and the layers that are multiplied during it."""

    def __init__(self, layers: Sequence[OverlappedLinear], group: ProcessGroup) -> None:
        self.layers, self.group = layers, group

    def gather(self, x: Tensor, dim: int) -> Tensor | None:
        """Gather a tensor and keep the products for the layers.

        Args:
            x: this rank's slice along `dim`, (..., in).

        Returns:
            The gathered tensor; None: overlap does not pay for this tensor, or is not possible here.
        """
        if not self._pays_off(x, dim):
            return None
        weights = [layer.weight.local() for layer in self.layers]
        biases = [None if layer.bias is None else layer.bias.local() for layer in self.layers]
        if any(weight.dtype != x.dtype for weight in weights):
            return None
        outputs: tuple[Tensor, ...] = _AllGatherMatmulFunction.apply(  # type: ignore[no-untyped-call]
            x, dim, self.group, len(weights), *weights, *biases
        )
        gathered, *products = outputs
        for layer, product in zip(self.layers, products, strict=True):
            layer.set_product(gathered, product)
        return gathered

    def clear(self) -> None:
        """Forget the products of layers that were not called."""
        for layer in () if torch.compiler.is_compiling() else self.layers:
            layer.set_product(None, None)

    def _pays_off(self, x: Tensor, dim: int) -> bool:
        return (
            is_untraced(x)
            and not torch.is_autocast_enabled(x.device.type)
            and dim < x.ndim - 1
            and c10d.num_pieces(x, dim) <= c10d.MAX_PIECES
            and x.numel() * x.element_size() >= MIN_OVERLAP_BYTES
            and all(type(layer.layer) is nn.Linear for layer in self.layers)
        )


class _AllGatherMatmulFunction(torch.autograd.Function):
    """All ranks' slices along a dim, and their products with `count` weights, each with its bias or None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, group: ProcessGroup, count: int, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights: Any = tensors[:count]
        ctx.dim, ctx.group = dim, group
        ctx.set_materialize_grads(False)
        gathered, products = all_gather_matmul(x, weights, dim, group)
        for product, bias in zip(products, tensors[count:], strict=True):
            if bias is not None:
                product += bias
        ctx.save_for_backward(gathered, *weights)
        return gathered, *products

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *product_grads: Tensor | None) -> tuple[Any, ...]:
        """
        Args:
            grad: of the gathered tensor, from whatever else uses it.
            product_grads: of each product; None: nothing used it.
        """
        gathered, *weights = ctx.saved_tensors
        rows = {
            i: each.reshape(-1, each.shape[-1]) for i, each in enumerate(product_grads) if each is not None
        }
        needs = ctx.needs_input_grad[4:]
        bias_grads = [
            rows[i].sum(0) if i in rows and needs[len(weights) + i] else None for i in range(len(weights))
        ]
        needed = {i: rows[i] for i in rows if needs[i]}
        if not ctx.needs_input_grad[0]:
            by_weight = dict(zip(needed, weight_grads(list(needed.values()), gathered), strict=True))
            input_grad = None
        else:
            other = None if grad is None else grad.reshape(-1, grad.shape[-1])
            total = gathered_grad(list(rows.values()), [weights[i] for i in rows], other)
            input_grad, by_weight = _input_and_weight_grads(ctx, total, needed, gathered)
        return input_grad, None, None, None, *(by_weight.get(i) for i in range(len(weights))), *bias_grads


def _input_and_weight_grads(
    ctx: Any, total: Tensor | None, product_grads: Mapping[int, Tensor], gathered: Tensor
) -> tuple[Tensor | None, dict[int, Tensor]]:
    """The gradients of the rank's slice and of the weights.

    Args:
        total: this rank's gradient of the gathered tensor, (all but the last dim, in).
        product_grads: of the products whose weights need a gradient.
    """
    grads = list(product_grads.values())
    if total is None:
        return None, dict(zip(product_grads, weight_grads(grads, gathered), strict=True))
    total = total.view(gathered.shape)
    if is_untraced(total) and not torch.is_grad_enabled():
        own, found = reduce_scatter_and_weight_grads(total, grads, gathered, ctx.dim, ctx.group)
    else:
        own, found = reduce_scatter(total, ctx.dim, ctx.group), weight_grads(grads, gathered)
    return own, dict(zip(product_grads, found, strict=True))
