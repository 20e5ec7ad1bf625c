"""The dims that a reduction removes, and what is left."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.arguments import normalize_dims
from planc.proof.rules.einsum_rule import DimLabels
from planc.proof.rules.operation import Operand, Operation, Unsupported


def reduction_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dims that a reduction's argument `dim` means: all of them for None and ()."""
    return tuple(range(ndim)) if dim is None or dim == () else normalize_dims(dim, ndim)


def reduced_labels(operation: Operation, x: Operand, dims: tuple[int, ...]) -> DimLabels:
    """The labels of the first result, from which a reduction removes these dims of x, or keeps them with size 1.

    Raises:
        Unsupported: the result has another number of dims.
    """
    ndim = len(operation.results[0].shape)
    if ndim == x.ndim:
        return tuple(None if d in dims else d for d in range(x.ndim))
    left = tuple(d for d in range(x.ndim) if d not in dims)
    if len(left) != ndim:
        raise Unsupported(f"the rule of {operation.name} expects {len(left)} dims in its result, not {ndim}")
    return left
