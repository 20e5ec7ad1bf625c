"""Products of linear layers beside what ranks send each other.

The tensor that a boundary gathers goes into linear layers. Their products of the rank's own slice are computed while
those of the others are under way. In the backward pass the gradient of what was gathered is on its way while the
gradients of the weights are computed.
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
        """What is gathered, with the products kept for the layers; None: it is not worth it here, or somebody looks on."""
        uses = [use for layer in self.layers for use in (layer.weight, layer.bias) if use is not None]
        if not _worth(x, self.dim, [layer.weight.owner for layer in self.layers]):
            return None
        shares = {id(use): use.now() for use in uses}
        weights = [shares[id(layer.weight)] for layer in self.layers]
        biases = [None if layer.bias is None else shares[id(layer.bias)] for layer in self.layers]
        if any(weight.dtype != x.dtype for weight in weights):
            return None
        found: tuple[Tensor, ...] = _Products.apply(x, self.dim, self.group, len(weights), *weights, *biases)  # type: ignore[no-untyped-call]
        whole, *products = found
        for layer, product in zip(self.layers, products, strict=True):
            layer.hold(whole, product)
        return whole

    def end(self) -> None:
        """Nothing is kept for a layer that was not called."""
        for layer in self.layers:
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
    """(..., own slice, features) to all slices, and their products with each of the weights."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, group: ProcessGroup, count: int, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights: Any = tensors[:count]
        biases = tensors[count:]
        ctx.dim, ctx.group, ctx.count = dim, group, count
        ctx.set_materialize_grads(False)
        whole, products = products_of_gathered(x, weights, dim, group)
        for product, bias in zip(products, biases, strict=True):
            if bias is not None:
                product += bias
        ctx.save_for_backward(whole, *weights)
        return whole, *products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        whole, *weights = ctx.saved_tensors
        needed, count = ctx.needs_input_grad[4:], ctx.count
        of_whole, of_products = gradients[0], gradients[1:]
        rows = [None if each is None else each.reshape(-1, each.shape[-1]) for each in of_products]
        flat = whole.reshape(-1, whole.shape[-1])

        def of_weights() -> list[Tensor | None]:
            found = [row.t() @ flat if row is not None and needed[i] else None for i, row in enumerate(rows)]
            sums = [
                row.sum(0) if row is not None and needed[count + i] else None for i, row in enumerate(rows)
            ]
            return found + sums

        pairs = [(row, weight) for row, weight in zip(rows, weights, strict=True) if row is not None]
        if not ctx.needs_input_grad[0] or (of_whole is None and not pairs):
            return None, None, None, None, *of_weights()
        total = None if of_whole is None else of_whole.reshape(flat.shape)
        for row, weight in pairs:
            total = row @ weight if total is None else torch.addmm(total, row, weight)
        assert total is not None
        total = total.view(whole.shape)
        if not unseen(total) or torch.is_grad_enabled():
            return scattered(total, ctx.dim, ctx.group), None, None, None, *of_weights()
        part, work = direct.scattering(total, ctx.dim, ctx.group)
        found = of_weights()
        work.wait()
        return part, None, None, None, *found


def products_of_gathered(
    x: Tensor, weights: Sequence[Tensor], dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """All ranks' slices along a dim, (..., along, in), and their products with weights (out, in)."""
    whole, work = direct.gathering(x, dim, group)
    products = [x.new_empty((*whole.shape[:-1], weight.shape[0])) for weight in weights]
    own, others = direct.rows(whole.shape[dim], group)
    for weight, product in zip(weights, products, strict=True):
        _multiply(x, weight, product, dim, own)
    work.wait()
    for rest in others:
        for weight, product in zip(weights, products, strict=True):
            _multiply(whole.narrow(dim, rest.start, len(rest)), weight, product, dim, rest)
    return whole, products


def _multiply(x: Tensor, weight: Tensor, product: Tensor, dim: int, rows: range) -> None:
    """Put the products of some rows in their place."""
    place = product.narrow(dim, rows.start, len(rows))
    if direct.is_first(x.shape, dim):
        torch.mm(x.reshape(-1, x.shape[-1]), weight.t(), out=place.view(-1, place.shape[-1]))
        return
    # A batch of products with one weight, each written where it belongs.
    batch = direct.pieces(x, dim)
    torch.bmm(
        x.reshape(batch, -1, x.shape[-1]), weight.t().expand(batch, -1, -1),
        out=place.view(batch, -1, place.shape[-1]),
    )  # fmt: skip
