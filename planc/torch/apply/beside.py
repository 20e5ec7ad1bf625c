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

from planc.torch.apply import direct
from planc.torch.apply.collectives import scattered, unseen
from planc.torch.apply.moves import Way
from planc.torch.apply.products import (
    gradient_of_whole,
    gradients_of_gathered,
    gradients_of_weights,
    products_of_gathered,
)
from planc.torch.apply.uses import Use, Wrapped

LEAST = 16 << 20
"""Bytes of a rank's slice from which it is worth it: below, the calls take longer than they hide."""


class Layer(Wrapped):
    """The forward of a linear layer, whose product may be there already when it is called."""

    def __init__(self, layer: nn.Module, weight: Use, bias: Use | None) -> None:
        super().__init__(layer.forward, ())
        self.weight, self.bias = weight, bias
        self._of: Tensor | None = None
        self._product: Tensor | None = None

    def hold(self, of: Tensor | None, product: Tensor | None) -> None:
        """Keep the product of a tensor for the next call, or none."""
        self._of, self._product = of, product

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the layer."""
        product = self._product
        if product is not None and len(args) == 1 and args[0] is self._of and not kwargs:
            self.hold(None, None)
            return product
        return self.forward(*args, **kwargs)


class Gathering:
    """A gather at the boundary of a module, and the layers whose products run beside it."""

    def __init__(self, layers: Sequence[Layer], how: Way, group: ProcessGroup) -> None:
        self.layers, self.dim, self.group = layers, how[1], group

    def begin(self, x: Tensor) -> Tensor | None:
        """What is gathered, with the products kept for the layers; None: it is not worth it for this tensor, or it
        cannot be done here."""
        if not _worth(x, self.dim, [layer.weight.owner for layer in self.layers]):
            return None
        weights = [layer.weight.now() for layer in self.layers]
        biases = [None if layer.bias is None else layer.bias.now() for layer in self.layers]
        if any(weight.dtype != x.dtype for weight in weights):
            return None
        found: tuple[Tensor, ...] = _Products.apply(  # type: ignore[no-untyped-call]
            x, self.dim, self.group, len(weights), *weights, *biases
        )
        for layer, product in zip(self.layers, found[1:], strict=True):
            layer.hold(found[0], product)
        return found[0]

    def end(self) -> None:
        """Nothing is kept for a layer that was not called."""
        for layer in () if torch.compiler.is_compiling() else self.layers:
            layer.hold(None, None)


def _worth(x: Tensor, dim: int, layers: Sequence[nn.Module]) -> bool:
    return (
        unseen(x)
        and not torch.is_autocast_enabled(x.device.type)
        and dim < x.ndim - 1
        and direct.pieces(x, dim) <= direct.MANY
        and x.numel() * x.element_size() >= LEAST
        and all(type(layer) is nn.Linear for layer in layers)
    )


class _Products(torch.autograd.Function):
    """The rank's slice to all slices, and their products with each of `count` weights, with its bias or None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, group: ProcessGroup, count: int, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights: Any = tensors[:count]
        ctx.dim, ctx.group = dim, group
        ctx.set_materialize_grads(False)
        whole, products = products_of_gathered(x, weights, dim, group)
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
        part, found = _gradients(ctx, of_whole, rows, whole, weights)
        return part, None, None, None, *(found.get(i) for i in range(len(weights))), *of_biases


def _gradients(
    ctx: Any, of_whole: Tensor | None, rows: dict[int, Tensor], whole: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor | None, dict[int, Tensor]]:
    """Those of the rank's slice and of the weights, as far as they are needed."""
    needed = [i for i in rows if ctx.needs_input_grad[4 + i]]
    wanted = [rows[i] for i in needed]
    total = None
    if ctx.needs_input_grad[0]:
        more = None if of_whole is None else of_whole.reshape(-1, of_whole.shape[-1])
        total = gradient_of_whole(list(rows.values()), [weights[i] for i in rows], more)
    if total is None:
        return None, dict(zip(needed, gradients_of_weights(wanted, whole), strict=True))
    total = total.view(whole.shape)
    if unseen(total) and not torch.is_grad_enabled():
        part, found = gradients_of_gathered(total, wanted, whole, ctx.dim, ctx.group)
    else:
        part, found = scattered(total, ctx.dim, ctx.group), gradients_of_weights(wanted, whole)
    return part, dict(zip(needed, found, strict=True))
