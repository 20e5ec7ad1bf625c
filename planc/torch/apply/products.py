"""Products with weights beside what ranks send each other, forward and backward.

What ranks hold slices of is (..., along, in), weights are (out, in) as those of `nn.Linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.torch.apply import direct


def products_of_gathered(
    x: Tensor, weights: Sequence[Tensor], dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """All ranks' slices along a dim, and their products with each of the weights.

    The rank's own slice is multiplied while the others are under way.
    """
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


def gradients_of_gathered(
    total: Tensor, rows: Sequence[Tensor], whole: Tensor, dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """The rank's slice of the sum of the ranks' gradients `total` of what was gathered, and gradients of weights.

    These are computed while the other is under way.

    Args:
        rows: the gradient of each product, (all but the last dim, out).
    """
    part, work = direct.scattering(total, dim, group)
    found = gradients_of_weights(rows, whole)
    work.wait()
    return part, found


def gradients_of_weights(rows: Sequence[Tensor], whole: Tensor) -> list[Tensor]:
    """Those of the weights whose products have these gradients."""
    flat = whole.reshape(-1, whole.shape[-1])
    return [row.t() @ flat for row in rows]


def gradient_of_whole(
    rows: Sequence[Tensor], weights: Sequence[Tensor], more: Tensor | None = None
) -> Tensor | None:
    """The rank's gradient of what was gathered, (all but the last dim, in): of its products, and what comes beside them."""
    total = more
    for row, weight in zip(rows, weights, strict=True):
        total = row @ weight if total is None else torch.addmm(total, row, weight)
    return total


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
