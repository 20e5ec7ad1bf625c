"""Dims that an operation is told to work along."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import DimLabels
from planc.proof.rules.operation import Operand, Operation, Unsupported


def normalize_plain_dim(dim: Any, ndim: int) -> int:
    """A dim counted from the first."""
    if not isinstance(dim, int) or isinstance(dim, bool) or not -max(ndim, 1) <= dim < max(ndim, 1):
        raise Unsupported(f"'{dim}' is not understood as a dim")
    return dim % max(ndim, 1)


def reduction_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dims of a reduction: None or nothing are all."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    return tuple(normalize_plain_dim(d, ndim) for d in (dim if isinstance(dim, tuple) else (dim,)))


def reduced_labels(operation: Operation, x: Operand, dims: tuple[int, ...], number: int = 0) -> DimLabels:
    """The labels of a result where these dims of x are gone, or of size 1."""
    shape = operation.results[number].shape
    if len(shape) == x.ndim:
        return tuple(None if d in dims else d for d in range(x.ndim))
    left = tuple(d for d in range(x.ndim) if d not in dims)
    if len(left) != len(shape):
        raise Unsupported(f"{operation.name} gives a result whose dims its rule does not know")
    return left


def bind_ignoring(operation: Operation, *names: str, ignored: tuple[str, ...]) -> list[Any]:
    """Arguments by position or keyword, those of `rest` allowed and without meaning."""
    renamed = {{"axis": "dim", "keepdims": "keepdim"}.get(k, k): v for k, v in operation.keywords.items()}
    for name, value in renamed.items():
        if name not in names and name not in ignored and value is not None and value is not False:
            raise Unsupported(f"the rule of {operation.name} does not know its argument '{name}'")
    if len(operation.arguments) > len(names) + len(ignored):
        raise Unsupported(f"{operation.name} takes more arguments than its rule knows")
    given = dict(zip(names, operation.arguments, strict=False)) | renamed
    return [given.get(name) for name in names]
