"""Operations that return pieces of a tensor: split, chunk, unbind, select, narrow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from planc.proof.rules.arguments import (
    as_operand,
    bind_with_aliases,
    global_and_local,
    normalize_dim,
    rank_invariant_int,
    size_read_violation,
)
from planc.proof.rules.dim_mapping import remap_dims, slice_type
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    RuleViolation,
    Unsupported,
    iter_rank_dependent,
)
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import SpmdType, sharded_dim
from planc.proof.violations import FusedSplit

SplitBounds = list[int]


def split_types(
    x: Operand, dim: int, bounds_of: Callable[[int, bool], SplitBounds], requested: Any, operation: Operation
) -> tuple[SpmdType, ...]:
    """The types of the pieces of a tensor.

    Args:
        x: the tensor.
        dim: the dim along which it is split.
        bounds_of: gives the bounds of the pieces, from the size of the dim, and whether that is the local one.
        requested: the sizes or the number of pieces, as the code has them.
        operation: the call.
    """
    size, local_size = x.shape[dim], x.local_shape(operation.ranks)[dim]
    bounds, local_bounds = bounds_of(size, False), bounds_of(local_size, True)
    rank_dependent = next(iter_rank_dependent(requested), None)
    if sharded_dim(x.type) != dim:
        if bounds != local_bounds:
            raise size_read_violation(rank_dependent)
        return (x.type,) * (len(bounds) - 1)
    types = tuple(
        slice_type(
            x.type, size, range(*piece), range(*local), operation.ranks, is_literal=rank_dependent is None
        )
        for piece, local in zip(pairwise(bounds), pairwise(local_bounds))
    )
    if len(bounds) != len(local_bounds) or local_bounds[-1] != local_size:
        raise RuleViolation(FusedSplit(dim, x.type))
    return types


def _equal_pieces(piece_size: Any) -> Callable[[int, bool], SplitBounds]:
    def bounds_of(size: int, local: bool) -> SplitBounds:
        step = global_and_local(piece_size)[local]
        if step < 1:
            raise Unsupported("pieces of size 0")
        return [*range(0, size, step), size]

    return bounds_of


def _listed_pieces(sizes: tuple[Any, ...]) -> Callable[[int, bool], SplitBounds]:
    return lambda _size, local: [0, *accumulate(global_and_local(item)[local] for item in sizes)]


@op_rule(
    "split",
    "split_with_sizes",
    "unsafe_split",
    accepts_rank_dependent=True,
    saves=saves_nothing,
    entries="taken",
)
def split_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 2, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    names = {"split_size_or_sections": "split_size", "split_sizes": "split_size"}
    x, sizes, dim = bind_with_aliases(operation.with_renamed_keywords(names), "input", "split_size", dim=0)
    bounds_of = _listed_pieces(sizes) if isinstance(sizes, tuple) else _equal_pieces(sizes)
    return split_types(x, normalize_dim(dim, as_operand(x).ndim), bounds_of, sizes, operation)


@op_rule("chunk", "unsafe_chunk", accepts_rank_dependent=True, saves=saves_nothing, entries="taken")
def chunk_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 3, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    x, count, dim = bind_with_aliases(operation, "input", "chunks", dim=0)

    def bounds_of(size: int, local: bool) -> SplitBounds:
        piece_size = max(1, -(-size // global_and_local(count)[local]))
        return [*range(0, size, piece_size), size]

    return split_types(x, normalize_dim(dim, as_operand(x).ndim), bounds_of, count, operation)


@op_rule("tensor_split", accepts_rank_dependent=True, saves=saves_nothing, entries="taken")
def tensor_split_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 3 or (2, 4), dim 1 -> (a, 2), (a, 2), (a, 1)"""
    names = {"indices": "indices_or_sections", "sections": "indices_or_sections"}
    x, requested, dim = bind_with_aliases(
        operation.with_renamed_keywords(names), "input", "indices_or_sections", dim=0
    )

    def bounds_of(size: int, local: bool) -> SplitBounds:
        if isinstance(requested, tuple):
            bounds = [0, *(global_and_local(item)[local] for item in requested), size]
            if sorted(bounds) != bounds:
                raise Unsupported("indices of tensor_split that do not rise, or count from the last entry")
            return bounds
        count = global_and_local(requested)[local]
        return [0, *accumulate(size // count + (i < size % count) for i in range(count))]

    return split_types(x, normalize_dim(dim, as_operand(x).ndim), bounds_of, requested, operation)


@op_rule("unbind", "__iter__", saves=saves_nothing, entries="taken")
def unbind_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (3, a), dim 0 -> (a), (a), (a)"""
    x, dim = bind_with_aliases(operation, "input", dim=0)
    dim = normalize_dim(dim, as_operand(x).ndim)
    return (_without(x, dim),) * len(operation.results)


@op_rule("select", saves=saves_nothing, entries="taken")
def select_rule(operation: Operation) -> SpmdType:
    """x (a, b), dim 0, index -> (b)"""
    x, dim, index = bind_with_aliases(operation, "input", "dim", "index")
    rank_invariant_int(index)
    return _without(as_operand(x), normalize_dim(dim, x.ndim))


def _without(x: Operand, dim: int) -> SpmdType:
    return remap_dims(x.type, {d: d - (d > dim) for d in range(x.ndim) if d != dim})


@op_rule("narrow", accepts_rank_dependent=True, saves=saves_nothing, entries="taken")
def narrow_rule(operation: Operation) -> SpmdType:
    """x (a, 5), dim 1, start 1, length 3 -> (a, 3)"""
    x, dim, start, length = bind_with_aliases(operation, "input", "dim", "start", "length")
    dim = normalize_dim(dim, as_operand(x).ndim)
    sizes = (x.shape[dim], x.local_shape(operation.ranks)[dim])
    starts = [n + size if n < 0 else n for n, size in zip(global_and_local(start), sizes)]
    entries, local_entries = (range(n, n + m) for n, m in zip(starts, global_and_local(length)))
    is_literal = not isinstance(start, RankDependent) and not isinstance(length, RankDependent)
    if sharded_dim(x.type) == dim:
        return slice_type(x.type, sizes[0], entries, local_entries, operation.ranks, is_literal=is_literal)
    if entries != local_entries:
        raise size_read_violation(start if isinstance(start, RankDependent) else length)
    return x.type  # type: ignore[no-any-return]
