"""Gradients without aliases.

Optimizers and clipping change a parameter's gradient in place, so nothing else may share its memory. But where two
parameters are added, the backward pass hands both the same tensor. Torch copies such a gradient for a plain
parameter. For a DTensor parameter torch sees a new wrapper, and not that the tensor inside is shared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from planc.torch.compat import use_count


def unalias_grad(gradient: Tensor) -> Tensor:
    """The gradient, or a copy of it if something else refers to it, or if it is not contiguous.

    Only for the backward pass of an `autograd.Function`, where `_SOLE_REFERENCE_COUNT` holds.
    """
    if use_count(gradient) > _SOLE_REFERENCE_COUNT or not gradient.is_contiguous():
        return gradient.clone(memory_format=torch.contiguous_format)
    return gradient


class _CountReferences(torch.autograd.Function):
    """An identity whose gradient is the number of references to the incoming gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return torch.full_like(gradient, use_count(gradient))


def _count_sole_reference() -> int:
    """The count for a gradient that nothing else refers to: torch 2.11 counts one more than torch 2.13."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = torch.ones((), device="cpu", requires_grad=True)
        counted: Tensor = _CountReferences.apply(leaf)  # type: ignore[no-untyped-call]
        (count,) = torch.autograd.grad(counted * 2, leaf)
    return int(count)


_SOLE_REFERENCE_COUNT = _count_sole_reference()
