"""Operations that repeat entries: expand, repeat, tile, repeat_interleave, broadcast_tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.proof.rules.arguments import (
    as_operand,
    bind_with_aliases,
    global_and_local,
    normalize_dim,
    rank_invariant_int,
    size_read_violation,
    tensor_and_varargs,
)
from planc.proof.rules.dim_mapping import remap_dims
from planc.proof.rules.einsum_rule import forbid_unreduced_gradients
from planc.proof.rules.operation import Operand, Operation, RankDependent, RuleViolation, Unsupported
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import (
    PARTIAL,
    NumberSource,
    PackedShard,
    Sharded,
    SpmdType,
    packed_shard,
    sharded,
    sharded_dim,
)
from planc.proof.violations import ExpandedShard, LiteralSize, PartialOperand, ShardedDimChanged


def repeated_type(x: Operand, dim: int, count: Any, ranks: int) -> SpmdType:
    """The type of `count` copies of a tensor along a dim of the result, where each rank makes its share of them."""
    global_count, local_count = global_and_local(count)
    if sharded_dim(x.type) is not None:
        raise RuleViolation(ExpandedShard(x.type))
    if x.type is PARTIAL:
        raise RuleViolation(PartialOperand("uneven expand"))
    if global_count != local_count * ranks:
        raise size_read_violation(count)
    forbid_unreduced_gradients([x], "sharded")
    return sharded(dim)


def expanded_type(x: Operand, sizes: Sequence[Any], operation: Operation) -> SpmdType:
    """The type of a tensor whose dims of size 1 are expanded to these sizes, and new dims before them."""
    new = len(sizes) - x.ndim
    if new < 0:
        raise Unsupported(f"{len(sizes)} sizes for a tensor of {x.ndim} dims")
    shape, local_shape = (1,) * new + x.shape, (1,) * new + x.local_shape(operation.ranks)
    shared: list[tuple[int, Any]] = []  # dims whose copies the ranks share
    for d, item in enumerate(sizes):
        size, local_size = global_and_local(item)
        if size == local_size == -1:
            continue
        if shape[d] == 1 == local_shape[d]:
            if size != local_size:
                shared.append((d, item))
        elif local_size != local_shape[d] or size != shape[d]:
            if isinstance(item, RankDependent):
                raise size_read_violation(item)
            raise RuleViolation(LiteralSize(d, local_size, local_shape[d]))
    if len(shared) > 1:
        raise size_read_violation(shared[1][1])
    if shared:
        return repeated_type(x, *shared[0], operation.ranks)
    return remap_dims(x.type, [d + new for d in range(x.ndim)])


@op_rule("expand", "broadcast_to", accepts_rank_dependent=True, saves=saves_nothing, entries="taken")
def expand_rule(operation: Operation) -> SpmdType:
    """x (a, 1), sizes (n, a, b) -> (n, a, b)"""
    operation.keywords = {name: value for name, value in operation.keywords.items() if name != "implicit"}
    return expanded_type(*tensor_and_varargs(operation, "size"), operation)


@op_rule("expand_as", saves=saves_nothing, entries="taken")
def expand_as_rule(operation: Operation) -> SpmdType:
    """x (a, 1), other (a, b) -> (a, b)"""
    x, other = (as_operand(item) for item in bind_with_aliases(operation, "input", "other"))
    sizes = zip(other.shape, other.local_shape(operation.ranks))
    source = NumberSource("size", other.type)
    return expanded_type(x, [n if n == own else RankDependent(n, own, source) for n, own in sizes], operation)


@op_rule("repeat", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False, entries="taken")
def repeat_rule(operation: Operation) -> SpmdType:
    """x (a, b), repeats (2, 3) -> (2 * a, 3 * b)"""
    return tiled_type(*tensor_and_varargs(operation, "repeats"), operation)


@op_rule("tile", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False)
def tile_rule(operation: Operation) -> SpmdType:
    """x (a, b), repeats (3) -> (a, 3 * b)"""
    x, counts = tensor_and_varargs(operation, "dims")
    return tiled_type(x, (1,) * (x.ndim - len(counts)) + counts, operation)


def tiled_type(x: Operand, counts: Sequence[Any], operation: Operation) -> SpmdType:
    """The type of a tensor that is repeated along its dims, and along new ones before them."""
    new = len(counts) - x.ndim
    if new < 0:
        raise Unsupported(f"{len(counts)} repeats for a tensor of {x.ndim} dims")
    shared = [(d, item) for d, item in enumerate(counts) if isinstance(item, RankDependent)]
    if len(shared) > 1:
        raise size_read_violation(shared[1][1])
    if shared:
        return repeated_type(x, *shared[0], operation.ranks)
    cut = sharded_dim(x.type)
    if cut is not None and rank_invariant_int(counts[cut + new]) != 1:
        raise RuleViolation(ShardedDimChanged(cut, x.type, "repeated"))
    return remap_dims(x.type, [d + new for d in range(x.ndim)])


@op_rule(
    "repeat_interleave", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False, returns_view=always,
)  # fmt: skip
def repeat_interleave_rule(operation: Operation) -> SpmdType:
    """x (a, b), 3 times along dim 1 -> (a, 3 * b), the copies of an entry next to each other"""
    x, count, dim = bind_with_aliases(operation, "input", "repeats", dim=None, output_size=None)[:3]
    spmd_type: SpmdType = as_operand(x).type
    if isinstance(count, Operand) or dim is None:
        if sharded_dim(spmd_type) is not None or isinstance(count, Operand):
            raise Unsupported(
                "repeat_interleave without a dim of a sharded tensor, or with a tensor of counts"
            )
        rank_invariant_int(count)
        return spmd_type
    dim = normalize_dim(dim, x.ndim)
    if isinstance(count, RankDependent) and x.shape[dim] == 1:
        return repeated_type(x, dim, count, operation.ranks)
    times = rank_invariant_int(count)
    if isinstance(spmd_type, PackedShard) and spmd_type.dim == dim:
        return packed_shard(dim, tuple(part * times for part in spmd_type.parts))
    return spmd_type


@op_rule("broadcast_tensors", saves=saves_nothing)
def broadcast_tensors_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 1), y (b) -> (a, b), (a, b)"""
    given = operation.arguments
    items = [as_operand(item) for item in (given[0] if given and isinstance(given[0], tuple) else given)]
    shape = operation.results[0].shape
    sizes: list[Any] = list(shape)
    for item in items:
        cut = sharded_dim(item.type)
        if cut is not None:
            dim = cut + len(shape) - item.ndim
            source = NumberSource("size", item.type)
            sizes[dim] = RankDependent(shape[dim], shape[dim] // operation.ranks, source)
    if operation.keywords or any(isinstance(item.type, PackedShard) for item in items):
        raise Unsupported("packed shards are broadcast")
    return tuple(_broadcast_with(item, sizes, operation) for item in items)


def _broadcast_with(x: Operand, sizes: Sequence[Any], operation: Operation) -> SpmdType:
    spmd_type = expanded_type(x, sizes, operation)
    if not isinstance(spmd_type, Sharded) and any(isinstance(size, RankDependent) for size in sizes):
        raise Unsupported("a tensor is broadcast with one that is sharded along another dim")
    return spmd_type
