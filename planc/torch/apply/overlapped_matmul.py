"""Products with weights beside what ranks send each other, forward and backward.

What ranks hold slices of is (..., along, in), weights are (out, in) as those of `nn.Linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.torch.apply import c10d


def all_gather_matmul(
    x: Tensor, weights: Sequence[Tensor], dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """All ranks' slices along a dim, and their products with each of the weights.

    The rank's own slice is multiplied while the others are under way.
    """
    whole, work = c10d.all_gather_coalesced(x, dim, group)
    products = [x.new_empty((*whole.shape[:-1], weight.shape[0])) for weight in weights]
    own, others = c10d.local_and_remote_rows(whole.shape[dim], group)
    for weight, product in zip(weights, products, strict=True):
        _matmul_rows(x, weight, product, dim, own)
    work.wait()
    for rest in others:
        for weight, product in zip(weights, products, strict=True):
            _matmul_rows(whole.narrow(dim, rest.start, len(rest)), weight, product, dim, rest)
    return whole, products


def reduce_scatter_and_weight_grads(
    grad: Tensor, product_grads: Sequence[Tensor], gathered: Tensor, dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """The rank's slice of the sum of the ranks' gradients `total` of what was gathered, and gradients of weights.

    These are computed while the other is under way.

    Args:
        rows: the gradient of each product, (all but the last dim, out).
    """
    part, work = c10d.reduce_scatter_coalesced(grad, dim, group)
    found = weight_grads(product_grads, gathered)
    work.wait()
    return part, found


def weight_grads(product_grads: Sequence[Tensor], gathered: Tensor) -> list[Tensor]:
    """Those of the weights whose products have these gradients."""
    flat = gathered.reshape(-1, gathered.shape[-1])
    return [row.t() @ flat for row in product_grads]


def gathered_grad(
    product_grads: Sequence[Tensor], weights: Sequence[Tensor], other_grad: Tensor | None = None
) -> Tensor | None:
    """The rank's gradient of what was gathered, (all but the last dim, in): of its products, and what comes beside them."""
    total = other_grad
    for row, weight in zip(product_grads, weights, strict=True):
        total = row @ weight if total is None else torch.addmm(total, row, weight)
    return total


def _matmul_rows(x: Tensor, weight: Tensor, product: Tensor, dim: int, rows: range) -> None:
    """Put the products of some rows in their place."""
    place = product.narrow(dim, rows.start, len(rows))
    if c10d.slices_are_contiguous(x.shape, dim):
        torch.mm(x.reshape(-1, x.shape[-1]), weight.t(), out=place.view(-1, place.shape[-1]))
        return
    # A batch of products with one weight, each written where it belongs.
    batch = c10d.num_pieces(x, dim)
    torch.bmm(
        x.reshape(batch, -1, x.shape[-1]), weight.t().expand(batch, -1, -1),
        out=place.view(batch, -1, place.shape[-1]),
    )  # fmt: skip
