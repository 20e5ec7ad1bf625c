"""Views: the same entries, in the same order, in another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    UnevenDim,
    UnevenParts,
)

Shape = tuple[int, ...]


def dim_groups(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Groups of dims that hold the same entries before and after a view; dims of size 1 are left out."""
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


def reshaped_type(spmd_type: SpmdType, before: Shape, after: Shape, ranks: int) -> SpmdType:
    """The type of a view of a tensor.

    Args:
        spmd_type: the type of the tensor.
        before: its global shape.
        after: the global shape of the view.
        ranks: the number of ranks.

    Raises:
        RuleViolation: the ranks' local views are not shards of the view.
    """
    if not isinstance(spmd_type, Sharded | PackedShard):
        return spmd_type
    if prod(before) != prod(after) or not prod(before):
        raise Unsupported("a view of an empty tensor, or of another number of entries")
    old, new = next(group for group in dim_groups(before, after) if spmd_type.dim in group[0])
    position = old.index(spmd_type.dim)
    own = spmd_type.parts if isinstance(spmd_type, PackedShard) else (before[spmd_type.dim],)
    inner = prod(before[d] for d in old[position + 1 :])
    # As one dim, the group has a copy of the parts for each entry of the dims before the sharded one.
    parts = tuple(part * inner for part in own) * prod(before[d] for d in old[:position])
    found = _shard_of_group(parts, [after[d] for d in new], ranks)
    if found is not None:
        place, parts = found
        return sharded(new[place]) if len(parts) == 1 else packed_shard(new[place], parts)
    if position:
        raise RuleViolation(MergedInnerDim(spmd_type.dim, old[position - 1]))
    if isinstance(spmd_type, PackedShard):
        raise RuleViolation(UnevenParts(new[0], after[new[0]], own, ranks))
    raise RuleViolation(UnevenDim(new[0], after[new[0]], ranks))


def _shard_of_group(parts: Shape, sizes: Sequence[int], ranks: int) -> tuple[int, Shape] | None:
    """Which of several dims is sharded, and the sizes of its parts, if all of them as one dim are sharded in these
    parts: (b, b, b), as the dims (3, b), is the second dim in one part. None: no dim is."""
    for place in range(len(sizes)):
        repeats, inner = prod(sizes[:place]), prod(sizes[place + 1 :])
        if len(parts) % repeats:
            continue
        period = parts[: len(parts) // repeats]
        if period * repeats == parts and not any(part % (inner * ranks) for part in period):
            return place, tuple(part // inner for part in period)
    return None


def merges_size_one(before: SpmdType, shape: Shape, after: SpmdType, new_shape: Shape) -> bool:
    """Whether a view leaves out a dim of size 1 before the sharded one: with another size, the slices of each rank
    would lie apart in the merged dim."""
    dim, new_dim = sharded_dim(before), sharded_dim(after)
    if dim is None or new_dim is None:
        return False
    return _ones_before(shape, dim) > _ones_before(new_shape, new_dim)


def _ones_before(shape: Shape, dim: int) -> int:
    count = 0
    while count < dim and shape[dim - 1 - count] == 1:
        count += 1
    return count


def check_requested_sizes(
    sizes: Sequence[Any], shape: Shape, spmd_type: SpmdType, operation: Operation
) -> SpmdType:
    """The type of a view, if the sizes in the code are a rank's local shape; -1 is any size.

    Args:
        sizes: as the code has them.
        shape: the global shape of the view.
        spmd_type: the type of the view.
        operation: the call.

    Raises:
        RuleViolation: a size is not the local one.
    """
    if len(sizes) != len(shape):
        raise Unsupported(f"{operation.name} with {len(sizes)} sizes returns {len(shape)} dims")
    for d, (item, local_size) in enumerate(zip(sizes, local_shape(shape, spmd_type, operation.ranks))):
        size, local = global_and_local(item)
        if size not in (-1, shape[d]):
            raise Unsupported(f"{operation.name} to size {size} returns size {shape[d]}")
        if local == local_size or (local == -1 and not isinstance(item, RankDependent)):
            continue
        if isinstance(item, RankDependent):
            raise size_read_violation(item)
        raise RuleViolation(LiteralSize(d, local, local_size))
    return spmd_type


@op_rule("view", accepts_rank_dependent=True, saves=saves_nothing, entries="same")
def view_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (c, d), the same entries in the same order"""
    return _requested_view(operation, *tensor_and_varargs(operation, "size"))


@op_rule("reshape", accepts_rank_dependent=True, saves=saves_nothing, entries="same", may_copy=True)
def reshape_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (c, d), the same entries in the same order"""
    return _requested_view(operation, *tensor_and_varargs(operation, "shape"))


def _requested_view(operation: Operation, x: Operand, sizes: tuple[Any, ...]) -> SpmdType:
    shape = operation.results[0].shape
    for item in sizes:
        global_and_local(item)
    return check_requested_sizes(
        sizes, shape, reshaped_type(x.type, x.shape, shape, operation.ranks), operation
    )


@op_rule("flatten", "ravel", saves=saves_nothing, entries="same", may_copy=True)
def flatten_rule(operation: Operation) -> SpmdType:
    """x (a, b, c) -> (a, b * c)"""
    x, start, end = bind_with_aliases(operation, "input", start_dim=0, end_dim=-1)
    normalize_dim(start, x.ndim), normalize_dim(end, x.ndim)
    return reshaped_type(as_operand(x).type, x.shape, operation.results[0].shape, operation.ranks)


@op_rule("unflatten", accepts_rank_dependent=True, saves=saves_nothing, entries="same")
def unflatten_rule(operation: Operation) -> SpmdType:
    """x (a, b * c), dim 1, sizes (b, c) -> (a, b, c)"""
    if len(operation.arguments) > 3:
        arguments = (*operation.arguments[:2], operation.arguments[2:])
        operation = operation.with_arguments(arguments, operation.keywords)
    x, dim, sizes = bind_with_aliases(operation, "input", "dim", "sizes")
    dim, sizes = normalize_dim(dim, as_operand(x).ndim), unpack_varargs((sizes,))
    requested = (-1,) * dim + sizes + (-1,) * (x.ndim - dim - 1)
    return _requested_view(operation, x, requested)


@op_rule("view_as", saves=saves_nothing, entries="same")
@op_rule("reshape_as", saves=saves_nothing, entries="same", may_copy=True)
def view_as_rule(operation: Operation) -> SpmdType:
    """x (a, b), other (c, d) -> (c, d)"""
    x, other = (as_operand(item) for item in bind_with_aliases(operation, "input", "other"))
    spmd_type = reshaped_type(x.type, x.shape, other.shape, operation.ranks)
    if local_shape(other.shape, spmd_type, operation.ranks) != other.local_shape(operation.ranks):
        raise RuleViolation(ShapeOfOther(spmd_type, other.type))
    return spmd_type


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
