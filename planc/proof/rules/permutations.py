"""Operations that reorder dims, and add or remove dims of size 1."""

from __future__ import annotations

from collections.abc import Sequence

from planc.proof.rules.arguments import (
    as_operand,
    bind_with_aliases,
    normalize_dim,
    normalize_dims,
    tensor_and_varargs,
)
from planc.proof.rules.dim_mapping import remap_dims
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import SpmdType, sharded_dim
from planc.proof.violations import SqueezedShard


def permuted_type(x: Operand, order: Sequence[int]) -> SpmdType:
    """The type of a tensor whose dim `i` was dim `order[i]`."""
    if sorted(order) != list(range(x.ndim)):
        raise Unsupported(f"{tuple(order)} is not an order of {x.ndim} dims")
    return remap_dims(x.type, [order.index(d) for d in range(x.ndim)])


def transposed_type(x: Operand, first: int, second: int) -> SpmdType:
    """The type of a tensor with two dims swapped."""
    order = list(range(x.ndim))
    if order:
        order[first], order[second] = second, first
    return permuted_type(x, order)


@op_rule("transpose", "swapdims", inplace_variant=True, saves=saves_nothing, entries="taken")
def transpose_rule(operation: Operation) -> SpmdType:
    """x (a, b, c), dims 0 and 2 -> (c, b, a)"""
    x, first, second = bind_with_aliases(operation, "input", "dim0", "dim1")
    return transposed_type(as_operand(x), normalize_dim(first, x.ndim), normalize_dim(second, x.ndim))


@op_rule("swapaxes", inplace_variant=True, saves=saves_nothing, entries="taken")
def swapaxes_rule(operation: Operation) -> SpmdType:
    """x (a, b, c), axes 0 and 2 -> (c, b, a)"""
    x, first, second = bind_with_aliases(operation, "input", "axis0", "axis1")
    return transposed_type(as_operand(x), normalize_dim(first, x.ndim), normalize_dim(second, x.ndim))


@op_rule("t", inplace_variant=True, saves=saves_nothing, entries="taken")
@op_rule("T", saves=saves_nothing, entries="taken")
def t_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (b, a)"""
    (x,) = bind_with_aliases(operation, "input")
    return permuted_type(as_operand(x), tuple(reversed(range(x.ndim))))


@op_rule("mT", "mH", "adjoint", "H", saves=saves_nothing, entries="taken")
def matrix_transpose_rule(operation: Operation) -> SpmdType:
    """x (a, b, c) -> (a, c, b)"""
    (x,) = bind_with_aliases(operation, "input")
    return transposed_type(as_operand(x), x.ndim - 2, x.ndim - 1)


@op_rule("permute", saves=saves_nothing, entries="taken")
def permute_rule(operation: Operation) -> SpmdType:
    """x (a, b, c), dims (2, 0, 1) -> (c, a, b)"""
    x, dims = tensor_and_varargs(operation, "dims")
    return permuted_type(x, normalize_dims(dims, x.ndim))


@op_rule("movedim", "moveaxis", saves=saves_nothing, entries="taken")
def movedim_rule(operation: Operation) -> SpmdType:
    """x (a, b, c), 0 to 2 -> (b, c, a)"""
    x, source, destination = bind_with_aliases(operation, "input", "source", "destination")
    sources, targets = normalize_dims(source, as_operand(x).ndim), normalize_dims(destination, x.ndim)
    if len(set(sources)) != len(sources) or len(set(targets)) != len(sources):
        raise Unsupported("movedim moves different numbers of dims, or one dim twice")
    order = [d for d in range(x.ndim) if d not in sources]
    for target, old in sorted(zip(targets, sources)):
        order.insert(target, old)
    return permuted_type(x, order)


@op_rule("unsqueeze", inplace_variant=True, accepts_local_index=True, saves=saves_nothing, entries="taken")
def unsqueeze_rule(operation: Operation) -> SpmdType:
    """x (a, b), dim 1 -> (a, 1, b)"""
    x, dim = bind_with_aliases(operation, "input", "dim")
    dim = normalize_dim(dim, as_operand(x).ndim + 1)
    return remap_dims(x.type, [d + (d >= dim) for d in range(x.ndim)])


@op_rule("squeeze", inplace_variant=True, saves=saves_nothing, entries="taken")
def squeeze_rule(operation: Operation) -> SpmdType:
    """x (a, 1, b), dim 1 -> (a, b)"""
    x, dims = bind_with_aliases(operation, "input", dim=None)
    squeezed = range(as_operand(x).ndim) if dims is None else normalize_dims(dims, x.ndim)
    cut = sharded_dim(x.type)
    if cut is not None and cut in squeezed and x.local_shape(operation.ranks)[cut] == 1:
        raise RuleViolation(SqueezedShard(cut, x.shape[cut]))
    left = [d for d in range(x.ndim) if d not in squeezed or x.shape[d] != 1]
    return remap_dims(x.type, {d: new for new, d in enumerate(left)})
