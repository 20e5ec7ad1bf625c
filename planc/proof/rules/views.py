"""Operations that give the same numbers, in the same order, another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from planc.proof.rules.arguments import (
    as_operand,
    bind_with_aliases,
    global_and_local,
    normalize_dim,
    size_read_violation,
    tensor_and_varargs,
    unpack_varargs,
)
from planc.proof.rules.operation import Operand, Operation, RankDependent, RuleViolation, Unsupported
from planc.proof.rules.registry import add_rows, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import (
    PackedShard,
    Sharded,
    SpmdType,
    local_shape,
    packed_shard,
    sharded,
    sharded_dim,
)
from planc.proof.violations import (
    LiteralSize,
    MergedInnerDim,
    ShapeOfOther,
    SplitComplexParts,
    UnevenParts,
    UnevenShard,
)

Shape = tuple[int, ...]


def dim_groups(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Runs of dims that hold the same numbers before and after; dims of size 1 are left out."""
    left = iter([d for d, size in enumerate(before) if size != 1])
    right = iter([d for d, size in enumerate(after) if size != 1])
    for first in left:
        old, new = [first], [next(right)]
        while (have := prod(before[d] for d in old)) != (want := prod(after[d] for d in new)):
            if have < want:
                old.append(next(left))
            else:
                new.append(next(right))
        yield old, new


def reshaped_type(kind: SpmdType, before: Shape, after: Shape, ranks: int) -> SpmdType:
    """The type of a tensor that takes another shape."""
    if not isinstance(kind, Sharded | PackedShard):
        return kind
    if prod(before) != prod(after) or not prod(before):
        raise Unsupported("a view of an empty tensor, or one that has another size")
    if isinstance(kind, PackedShard):
        try:
            return _packed(kind, before, after, ranks)
        except RuleViolation:
            if len(set(kind.parts)) > 1:
                raise
            # (..., k * m, ...) of k equal parts is (..., k, m, ...) with m split.
            within = (*before[: kind.dim], len(kind.parts), kind.parts[0], *before[kind.dim + 1 :])
            with suppress(RuleViolation, Unsupported):
                return reshaped_type(sharded(kind.dim + 1), within, after, ranks)
            raise
    _, new = _group(kind.dim, before, after)
    dim, size = new[0], after[new[0]]
    if size % ranks:
        raise RuleViolation(UnevenShard(dim, size, ranks))
    return sharded(dim)


def _packed(kind: PackedShard, before: Shape, after: Shape, ranks: int) -> SpmdType:
    old, new = _group(kind.dim, before, after)
    behind = prod(after[d] for d in new[1:])
    parts = [part * prod(before[d] for d in old[1:]) for part in kind.parts]
    if any(part % (behind * ranks) for part in parts):
        raise RuleViolation(UnevenParts(new[0], after[new[0]], kind.parts, ranks))
    return packed_shard(new[0], tuple(part // behind for part in parts))


def _group(dim: int, before: Shape, after: Shape) -> tuple[list[int], list[int]]:
    """The dims that a cut dim, the first of its group, is viewed with, and what they become."""
    old, new = next(group for group in dim_groups(before, after) if dim in group[0])
    if place := old.index(dim):
        raise RuleViolation(MergedInnerDim(dim, old[place - 1]))
    return old, new


def check_requested_sizes(
    sizes: Sequence[Any], shape: Shape, kind: SpmdType, operation: Operation
) -> SpmdType:
    """Check that what the code asks for is, on a rank, the rank's own shape; -1 always is."""
    if len(sizes) != len(shape):
        raise Unsupported(f"{operation.name} with {len(sizes)} sizes gives {len(shape)} dims")
    for d, (item, own) in enumerate(zip(sizes, local_shape(shape, kind, operation.ranks))):
        whole, local = global_and_local(item)
        if whole not in (-1, shape[d]):
            raise Unsupported(f"size {whole} gives {shape[d]}")
        if local == own or (local == -1 and not isinstance(item, RankDependent)):
            continue
        if isinstance(item, RankDependent):
            raise size_read_violation(item)
        raise RuleViolation(LiteralSize(d, local, own))
    return kind


@op_rule("view", accepts_rank_dependent=True, saves=saves_nothing, entries="same")
def view_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (c, d), the same numbers in the same order"""
    return _asked(operation, *tensor_and_varargs(operation, "size"))


@op_rule("reshape", accepts_rank_dependent=True, saves=saves_nothing, entries="same")
def reshape_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (c, d), the same numbers in the same order"""
    return _asked(operation, *tensor_and_varargs(operation, "shape"))


def _asked(operation: Operation, x: Operand, sizes: tuple[Any, ...]) -> SpmdType:
    shape = operation.results[0].shape
    for item in sizes:
        global_and_local(item)
    return check_requested_sizes(
        sizes, shape, reshaped_type(x.type, x.shape, shape, operation.ranks), operation
    )


@op_rule("flatten", "ravel", saves=saves_nothing, entries="same")
def flatten_rule(operation: Operation) -> SpmdType:
    """x (a, b, c) -> (a, b * c)"""
    x, start, end = bind_with_aliases(operation, "input", start_dim=0, end_dim=-1)
    normalize_dim(start, x.ndim), normalize_dim(end, x.ndim)
    return reshaped_type(as_operand(x).type, x.shape, operation.results[0].shape, operation.ranks)


@op_rule("unflatten", accepts_rank_dependent=True, saves=saves_nothing, entries="same")
def unflatten_rule(operation: Operation) -> SpmdType:
    """x (a, b * c), dim 1, sizes (b, c) -> (a, b, c)"""
    if len(operation.arguments) > 3:
        operation = Operation(operation.name, (*operation.arguments[:2], operation.arguments[2:]),
                              operation.keywords, operation.results, operation.ranks)  # fmt: skip
    x, dim, sizes = bind_with_aliases(operation, "input", "dim", "sizes")
    dim, sizes = normalize_dim(dim, as_operand(x).ndim), unpack_varargs((sizes,))
    asked = (-1,) * dim + sizes + (-1,) * (x.ndim - dim - 1)
    return _asked(operation, x, asked)


@op_rule("view_as", "reshape_as", saves=saves_nothing, entries="same")
def view_as_rule(operation: Operation) -> SpmdType:
    """x (a, b), other (c, d) -> (c, d)"""
    x, other = (as_operand(item) for item in bind_with_aliases(operation, "input", "other"))
    kind = reshaped_type(x.type, x.shape, other.shape, operation.ranks)
    if local_shape(other.shape, kind, operation.ranks) != other.local_shape(operation.ranks):
        raise RuleViolation(ShapeOfOther(kind, other.type))
    return kind


@op_rule("view_as_real", saves=saves_nothing)
def view_as_real_rule(operation: Operation) -> SpmdType:
    """x (a, b) complex -> (a, b, 2)"""
    (x,) = bind_with_aliases(operation, "input")
    return as_operand(x).type


@op_rule("view_as_complex", saves=saves_nothing)
def view_as_complex_rule(operation: Operation) -> SpmdType:
    """x (a, b, 2) -> (a, b) complex"""
    (x,) = bind_with_aliases(operation, "input")
    if sharded_dim(as_operand(x).type) == x.ndim - 1:
        raise RuleViolation(SplitComplexParts())
    return x.type  # type: ignore[no-any-return]


add_rows("real", saves=saves_nothing)
