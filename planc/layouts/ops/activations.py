"""Activations that are no plain functions of one number."""

from __future__ import annotations

from planc.layouts.factors import shared
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.ops.pointwise import settle
from planc.layouts.types import Packed, Type, split


@rule("dropout", "dropout_")
def dropout(operation: Operation) -> Type:
    """Where it drops, each rank would drop other summands of a pending sum."""
    x, p, training, _ = operation.bind("input", p=0.5, training=True, inplace=False)
    dims = tuple(range(x.ndim))
    idle = p == 0 or training is False
    return settle(operation, shared([(x, dims)], dims, linear="all" if idle else ()))


@rule("glu")
def glu(operation: Operation) -> Type:
    """x (.., 2k, ..) -> (.., k, ..): the first half times the sigmoid of the second."""
    x, dim = operation.bind("input", dim=-1)
    dim %= x.ndim
    if isinstance(x.type, Packed) and x.type.dim == dim and x.type.parts == (x.shape[dim] // 2,) * 2:
        return split(dim)
    dims = tuple(range(x.ndim))
    return shared([(x, dims)], dims, fixed=(dim,), why="glu halves that dim")


@rule("prelu")
def prelu(operation: Operation) -> Type:
    """x (n, c, ...), weight (c) or (1)"""
    x, weight = operation.bind("input", "weight")
    if not isinstance(weight, Operand) or x.ndim < 2:
        raise NotKnown("prelu has a weight for each channel")
    dims = tuple(range(x.ndim))
    return shared([(x, dims), (weight, (1 if weight.shape != (1,) or x.shape[1] == 1 else None,))], dims)
