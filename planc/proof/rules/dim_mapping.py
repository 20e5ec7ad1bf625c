"""How a type follows the dims of its tensor where an operation moves or cuts them."""

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
    """The type of a tensor whose dim `d` becomes dim `to[d]`; a dim that is not there may not be cut."""
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
    """The type of a tensor that is changed along dims which every rank needs whole."""
    dim = sharded_dim(spmd_type)
    if dim is not None and dim in dims:
        raise RuleViolation(ShardedDimChanged(dim, spmd_type, change))
    return spmd_type


def slice_type(
    spmd_type: SpmdType, size: int, global_range: range, local_range: range, ranks: int, *, is_literal: bool
) -> SpmdType:
    """The type of a piece of a tensor, cut from its cut dim.

    Args:
        kind: the type of the tensor, cut along that dim.
        size: of that dim, whole.
        whole: the entries that the piece has in the whole model.
        local: the entries that it has on a rank, of the rank's own.
        ranks: how many share the dim.
        written: whether the bounds are constants of the code.
    """
    if not isinstance(spmd_type, Sharded | PackedShard):
        raise Unsupported(f"a tensor of type {spmd_type} is cut")
    parts = spmd_type.parts if isinstance(spmd_type, PackedShard) else (size,)
    bounds = [0, *accumulate(parts)]
    start = bounds.index(global_range.start) if global_range.start in bounds else -1
    stop = bounds.index(global_range.stop) if global_range.stop in bounds else -1
    if start < 0 or stop <= start or global_range.step != 1:
        raise RuleViolation(FusedSlice(Entries.of(global_range), size, spmd_type))
    share = range(bounds[start] // ranks, bounds[stop] // ranks)
    if local_range != share:
        raise RuleViolation(
            SliceBounds(
                Entries.of(global_range),
                spmd_type.dim,
                Entries.of(share),
                Entries.of(local_range),
                is_literal,
            )
        )
    rest = parts[start:stop]
    return sharded(spmd_type.dim) if len(rest) == 1 else packed_shard(spmd_type.dim, rest)
