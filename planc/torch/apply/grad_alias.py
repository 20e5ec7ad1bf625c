"""Gradients that become a parameter's own.

What a parameter has as its gradient is scaled and added to in place, so nobody else may have it: of two parameters
that are added at one place, both get the same tensor from the backward pass. Torch copies it then for a plain
parameter. For one that is a DTensor the wrapper is new, and hides that what it wraps is not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from planc.torch.compat import use_count


def unalias_grad(gradient: Tensor) -> Tensor:
    """What a backward pass was handed, or a copy where somebody else has it or its elements share memory.

    Only for the backward pass of an `autograd.Function`, where references are counted as `_ALONE` counts them.
    """
    if use_count(gradient) > _SOLE_REFERENCE_COUNT or not gradient.is_contiguous():
        return gradient.clone(memory_format=torch.contiguous_format)
    return gradient


class _CountReferences(torch.autograd.Function):
    """Its gradient is the number of references to the gradient that it was handed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return torch.full_like(gradient, use_count(gradient))


def _count_sole_reference() -> int:
    """Those to a gradient that nobody else has: torch 2.11 counts one more than torch 2.13."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = torch.ones((), device="cpu", requires_grad=True)
        counted: Tensor = _CountReferences.apply(leaf)  # type: ignore[no-untyped-call]
        (found,) = torch.autograd.grad(counted * 2, leaf)
    return int(found)


_SOLE_REFERENCE_COUNT = _count_sole_reference()
