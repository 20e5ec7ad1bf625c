"""Linear layers whose products are computed at the boundary that gathers what they take, beside the gather.

What is handed on is the gathered tensor itself; a layer that is called with it finds its product there. A layer
that is called with anything else computes as it always does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.torch.apply import c10d
from planc.torch.apply.collectives import is_untraced, reduce_scatter
from planc.torch.apply.overlapped_matmul import (
    all_gather_matmul,
    gathered_grad,
    reduce_scatter_and_weight_grads,
    weight_grads,
)
from planc.torch.apply.param_swap import ParamSwap, WrappedForward
from planc.torch.apply.redistribute import Redistribution

MIN_OVERLAP_BYTES = 16 << 20
"""Bytes of a rank's slice from which it is worth it: below, the calls take longer than they hide."""


class OverlappedLinear(WrappedForward):
    """The forward of a linear layer, whose product may be there already when it is called."""

    def __init__(self, layer: nn.Module, weight: ParamSwap, bias: ParamSwap | None) -> None:
        super().__init__(layer.forward, ())
        self.weight, self.bias = weight, bias
        self._of: Tensor | None = None
        self._product: Tensor | None = None

    def set_product(self, of: Tensor | None, product: Tensor | None) -> None:
        """Keep the product of a tensor for the next call, or none."""
        self._of, self._product = of, product

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the layer."""
        product = self._product
        if product is not None and len(args) == 1 and args[0] is self._of and not kwargs:
            self.set_product(None, None)
            return product
        return self.forward(*args, **kwargs)


class AllGatherMatmul:
    """A gather at the boundary of a module, and the layers whose products run beside it."""

    def __init__(
        self, layers: Sequence[OverlappedLinear], redistribution: Redistribution, group: ProcessGroup
    ) -> None:
        self.layers, self.dim, self.group = layers, redistribution[1], group

    def gather(self, x: Tensor) -> Tensor | None:
        """What is gathered, with the products kept for the layers; None: it is not worth it for this tensor, or it
        cannot be done here."""
        if not _pays_off(x, self.dim, [layer.weight.owner for layer in self.layers]):
            return None
        weights = [layer.weight.local() for layer in self.layers]
        biases = [None if layer.bias is None else layer.bias.local() for layer in self.layers]
        if any(weight.dtype != x.dtype for weight in weights):
            return None
        found: tuple[Tensor, ...] = _AllGatherMatmulFunction.apply(  # type: ignore[no-untyped-call]
            x, self.dim, self.group, len(weights), *weights, *biases
        )
        for layer, product in zip(self.layers, found[1:], strict=True):
            layer.set_product(found[0], product)
        return found[0]

    def clear(self) -> None:
        """Nothing is kept for a layer that was not called."""
        for layer in () if torch.compiler.is_compiling() else self.layers:
            layer.set_product(None, None)


def _pays_off(x: Tensor, dim: int, layers: Sequence[nn.Module]) -> bool:
    return (
        is_untraced(x)
        and not torch.is_autocast_enabled(x.device.type)
        and dim < x.ndim - 1
        and c10d.num_pieces(x, dim) <= c10d.MAX_PIECES
        and x.numel() * x.element_size() >= MIN_OVERLAP_BYTES
        and all(type(layer) is nn.Linear for layer in layers)
    )


class _AllGatherMatmulFunction(torch.autograd.Function):
    """The rank's slice to all slices, and their products with each of `count` weights, with its bias or None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, group: ProcessGroup, count: int, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights: Any = tensors[:count]
        ctx.dim, ctx.group = dim, group
        ctx.set_materialize_grads(False)
        whole, products = all_gather_matmul(x, weights, dim, group)
        for product, bias in zip(products, tensors[count:], strict=True):
            if bias is not None:
                product += bias
        ctx.save_for_backward(whole, *weights)
        return whole, *products

    @staticmethod
    def backward(ctx: Any, of_whole: Tensor | None, *of_products: Tensor | None) -> tuple[Any, ...]:
        whole, *weights = ctx.saved_tensors
        rows = {i: each.reshape(-1, each.shape[-1]) for i, each in enumerate(of_products) if each is not None}
        needs = ctx.needs_input_grad[4:]
        of_biases = [
            rows[i].sum(0) if i in rows and needs[len(weights) + i] else None for i in range(len(weights))
        ]
        part, found = _overlapped_grads(ctx, of_whole, rows, whole, weights)
        return part, None, None, None, *(found.get(i) for i in range(len(weights))), *of_biases


def _overlapped_grads(
    ctx: Any, of_whole: Tensor | None, rows: dict[int, Tensor], whole: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor | None, dict[int, Tensor]]:
    """Those of the rank's slice and of the weights, as far as they are needed."""
    needed = [i for i in rows if ctx.needs_input_grad[4 + i]]
    wanted = [rows[i] for i in needed]
    total = None
    if ctx.needs_input_grad[0]:
        more = None if of_whole is None else of_whole.reshape(-1, of_whole.shape[-1])
        total = gathered_grad(list(rows.values()), [weights[i] for i in rows], more)
    if total is None:
        return None, dict(zip(needed, weight_grads(wanted, whole), strict=True))
    total = total.view(whole.shape)
    if is_untraced(total) and not torch.is_grad_enabled():
        part, found = reduce_scatter_and_weight_grads(total, wanted, whole, ctx.dim, ctx.group)
    else:
        part, found = reduce_scatter(total, ctx.dim, ctx.group), weight_grads(wanted, whole)
    return part, dict(zip(needed, found, strict=True))
