"""Products of matrices beside what ranks send each other.

A gather whose result goes into products: the rank's own slice is multiplied while those of the others are under way.
In the backward pass the gradient of what was gathered is sent while the gradients of the weights are computed. Of a
product whose parts are summed, the rank's own slice of the gradient is multiplied while the others come.
Tensors are (..., along, features), weights (features out, features in), as those of `nn.Linear`.
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
    """All ranks' slices along a dim, and their products with each of the weights."""
    whole, work = direct.gathering(x, dim, group)
    results = [x.new_empty((*whole.shape[:-1], weight.shape[0])) for weight in weights]
    own = direct.own_rows(whole.shape[dim], group)
    for weight, result in zip(weights, results, strict=True):
        _multiply(x, weight, result, dim, own)
    work.wait()
    for rest in direct.other_rows(whole.shape[dim], group):
        for weight, result in zip(weights, results, strict=True):
            _multiply(whole.narrow(dim, rest.start, len(rest)), weight, result, dim, rest)
    return whole, results


def gradients_of_gathered(
    gradients: Sequence[Tensor], whole: Tensor, weights: Sequence[Tensor], dim: int, group: ProcessGroup
) -> tuple[Tensor, list[Tensor]]:
    """From the gradients of the products: that of the rank's slice, and those of the weights."""
    rows = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
    total = rows[0] @ weights[0]
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        total = torch.addmm(total, row, weight, out=total)
    part, work = direct.scattering(total.view(whole.shape), dim, group)
    flat = whole.reshape(-1, whole.shape[-1])
    found = [row.t() @ flat for row in rows]
    work.wait()
    return part, found


def gradients_of_scattered(
    gradient: Tensor, x: Tensor, weight: Tensor, dim: int, group: ProcessGroup
) -> tuple[Tensor, Tensor]:
    """From the rank's slice of the gradient of a sum of products: that of its factor, and that of the weight."""
    whole, (found,) = products_of_gathered(gradient, [weight.t()], dim, group)
    flat = whole.reshape(-1, whole.shape[-1])
    return found, flat.t() @ x.reshape(-1, x.shape[-1])


def _multiply(x: Tensor, weight: Tensor, result: Tensor, dim: int, rows: range) -> None:
    """Put the product of some rows in its place in the result."""
    place = result.narrow(dim, rows.start, len(rows))
    if direct.is_first(x.shape, dim):
        torch.mm(x.reshape(-1, x.shape[-1]), weight.t(), out=place.view(-1, place.shape[-1]))
        return
    # A batch of products, with one weight for all: it is written where it belongs.
    many = weight.t().expand(x.shape[0], -1, -1)
    torch.bmm(x, many, out=place)
