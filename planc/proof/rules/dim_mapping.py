"""How a type follows the dims of its tensor when an operation moves or slices them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import (
    LocalIndex,
    PackedShard,
    Sharded,
    SpmdType,
    local_index,
    packed_shard,
    sharded,
    sharded_dim,
)
from planc.proof.violations import DimChange, Entries, FusedSlice, ShardedDimChanged, SliceBounds


def remap_dims(
    spmd_type: SpmdType, mapping: Mapping[int, int] | Sequence[int], change: DimChange = "taken apart"
) -> SpmdType:
    """The type of a tensor whose dim `d` becomes dim `mapping[d]`.

    Raises:
        RuleViolation: the sharded dim is not in the mapping; `change` says what happens to it.
    """
    if isinstance(spmd_type, LocalIndex):
        return local_index(mapping[spmd_type.dim], spmd_type.size, spmd_type.source)
    dim = sharded_dim(spmd_type)
    if dim is None:
        return spmd_type
    if isinstance(mapping, Mapping) and dim not in mapping:
        raise RuleViolation(ShardedDimChanged(dim, spmd_type, change))
    return (
        packed_shard(mapping[dim], spmd_type.parts)
        if isinstance(spmd_type, PackedShard)
        else sharded(mapping[dim])
    )


def require_full_dims(spmd_type: SpmdType, dims: Sequence[int], change: DimChange) -> SpmdType:
    """The type of a tensor that an operation changes along dims that every rank needs in full.

    Raises:
        RuleViolation: one of these dims is sharded; `change` says what happens to it.
    """
    dim = sharded_dim(spmd_type)
    if dim is not None and dim in dims:
        raise RuleViolation(ShardedDimChanged(dim, spmd_type, change))
    return spmd_type


def slice_type(
    spmd_type: SpmdType, size: int, global_range: range, local_range: range, ranks: int, *, is_literal: bool
) -> SpmdType:
    """The type of a slice of a tensor along its sharded dim.

    Args:
        spmd_type: the type of the tensor.
        size: the global size of the sharded dim.
        global_range: the entries that the slice has in the whole model.
        local_range: the entries that the code takes on a rank, counted from the rank's own first.
        ranks: the size of the axis.
        is_literal: whether the bounds are numbers in the code.

    Raises:
        RuleViolation: the slice is not one of whole parts, or a rank takes other entries than its share.
        Unsupported: the tensor is not sharded.
    """
    if not isinstance(spmd_type, Sharded | PackedShard):
        raise Unsupported(f"a slice of a tensor that is {spmd_type}")
    parts = spmd_type.parts if isinstance(spmd_type, PackedShard) else (size,)
    bounds = [0, *accumulate(parts)]
    start = bounds.index(global_range.start) if global_range.start in bounds else -1
    stop = bounds.index(global_range.stop) if global_range.stop in bounds else -1
    if start < 0 or stop <= start or global_range.step != 1:
        raise RuleViolation(FusedSlice(Entries.from_range(global_range), size, spmd_type))
    share = range(bounds[start] // ranks, bounds[stop] // ranks)
    if local_range != share:
        raise RuleViolation(
            SliceBounds(
                Entries.from_range(global_range),
                spmd_type.dim,
                Entries.from_range(share),
                Entries.from_range(local_range),
                is_literal,
            )
        )
    rest = parts[start:stop]
    return sharded(spmd_type.dim) if len(rest) == 1 else packed_shard(spmd_type.dim, rest)
