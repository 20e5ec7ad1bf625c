"""Matrix products during a collective, forward and backward.

Ranks hold slices of (..., dim, in); weights are (out, in) as those of `nn.Linear`.
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
    """Gather all ranks' slices along a dim, and multiply them with each of the weights.

    This rank's slice is multiplied while the others are under way.

    Returns:
        The gathered tensor, (..., ranks * dim, in), and its products, each (..., ranks * dim, out).
    """
    gathered, work = c10d.all_gather_coalesced(x, dim, group)
    products = [x.new_empty((*gathered.shape[:-1], weight.shape[0])) for weight in weights]
    local, remote = c10d.local_and_remote_rows(gathered.shape[dim], group)
    for weight, product in zip(weights, products, strict=True):
        _matmul_rows(x, weight, product, dim, local)
    work.wait()
    for rows in remote:
        for weight, product in zip(weights, products, strict=True):
            _matmul_rows(gathered.narrow(dim, rows.start, len(rows)), weight, product, dim, rows)
    return gathered, products


def reduce_scatter_and_weight_grads(
    grad: Tensor, product_grads: Sequence[Tensor], gathered: Tensor, dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """Reduce-scatter the gradient of a gathered tensor; meanwhile compute the gradients of the weights.

    Args:
        grad: this rank's gradient of the gathered tensor, of its shape.
        product_grads: the gradient of each product, (all but the last dim, out).

    Returns:
        The rank's slice of the sum of all ranks' `grad`, and the gradients of the weights.
    """
    own, work = c10d.reduce_scatter_coalesced(grad, dim, group)
    found = weight_grads(product_grads, gathered)
    work.wait()
    return own, found


def weight_grads(product_grads: Sequence[Tensor], gathered: Tensor) -> list[Tensor]:
    """The gradients (out, in) of the weights, from those of their products, (all but the last dim, out)."""
    flat = gathered.reshape(-1, gathered.shape[-1])
    return [each.t() @ flat for each in product_grads]


def gathered_grad(
    product_grads: Sequence[Tensor], weights: Sequence[Tensor], other_grad: Tensor | None = None
) -> Tensor | None:
    """This rank's gradient of a gathered tensor, (all but the last dim, in).

    Args:
        other_grad: what flows back from elsewhere, of the same shape.

    Returns:
        The sum over all products and of `other_grad`; None: there is no gradient.
    """
    total = other_grad
    for each, weight in zip(product_grads, weights, strict=True):
        total = each @ weight if total is None else torch.addmm(total, each, weight)
    return total


def _matmul_rows(x: Tensor, weight: Tensor, product: Tensor, dim: int, rows: range) -> None:
    """Write the products of some rows along a dim to their place in the product."""
    out = product.narrow(dim, rows.start, len(rows))
    if c10d.slices_are_contiguous(x.shape, dim):
        torch.mm(x.reshape(-1, x.shape[-1]), weight.t(), out=out.view(-1, out.shape[-1]))
        return
    # A batch of products with one weight, each written where it belongs.
    batch = c10d.num_pieces(x, dim)
    torch.bmm(
        x.reshape(batch, -1, x.shape[-1]), weight.t().expand(batch, -1, -1),
        out=out.view(batch, -1, out.shape[-1]),
    )  # fmt: skip
