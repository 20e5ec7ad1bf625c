"""Operations that take a tensor apart."""

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
    """The types of the pieces that a tensor falls into.

    Args:
        x: the tensor.
        dim: where it is cut.
        cuts: the bounds of the pieces, from the size of the dim, whole (False) or on a rank (True).
        asked: what the code asked for.
        operation: the call.
    """
    size = x.shape[dim]
    whole, local = bounds_of(size, False), bounds_of(x.local_shape(operation.ranks)[dim], True)
    unlike = next(iter_rank_dependent(requested), None)
    if sharded_dim(x.type) != dim:
        if whole != local:
            raise size_read_violation(unlike)
        return (x.type,) * (len(whole) - 1)
    kinds = tuple(
        slice_type(x.type, size, range(*w), range(*n), operation.ranks, is_literal=unlike is None)
        for w, n in zip(pairwise(whole), pairwise(local))
    )
    if len(whole) != len(local) or local[-1] != x.local_shape(operation.ranks)[dim]:
        raise RuleViolation(FusedSplit(dim, x.type))
    return kinds


def _each(step: Any) -> Callable[[int, bool], SplitBounds]:
    def cuts(size: int, local: bool) -> SplitBounds:
        own = global_and_local(step)[local]
        if own < 1:
            raise Unsupported("pieces without entries")
        return [*range(0, size, own), size]

    return cuts


def _listed(sizes: tuple[Any, ...]) -> Callable[[int, bool], SplitBounds]:
    return lambda _size, local: [0, *accumulate(global_and_local(item)[local] for item in sizes)]


@op_rule("split", "split_with_sizes", "unsafe_split", accepts_rank_dependent=True, saves=saves_nothing)
def split_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 2, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    names = {"split_size_or_sections": "split_size", "split_sizes": "split_size"}
    keywords = {names.get(name, name): value for name, value in operation.keywords.items()}
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    x, sizes, dim = bind_with_aliases(same, "input", "split_size", dim=0)
    cuts = _listed(sizes) if isinstance(sizes, tuple) else _each(sizes)
    return split_types(x, normalize_dim(dim, as_operand(x).ndim), cuts, sizes, operation)


@op_rule("chunk", "unsafe_chunk", accepts_rank_dependent=True, saves=saves_nothing)
def chunk_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 3, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    x, count, dim = bind_with_aliases(operation, "input", "chunks", dim=0)
    return split_types(x, normalize_dim(dim, as_operand(x).ndim), lambda size, local: _each(max(1, -(-size // global_and_local(count)[local])))(
        size, local), count, operation)  # fmt: skip


@op_rule("tensor_split", accepts_rank_dependent=True, saves=saves_nothing)
def tensor_split_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (a, 5), 3, dim 1 -> (a, 2), (a, 2), (a, 1); or the places where it is cut"""
    names = {"indices": "indices_or_sections", "sections": "indices_or_sections"}
    keywords = {names.get(name, name): value for name, value in operation.keywords.items()}
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    x, asked, dim = bind_with_aliases(same, "input", "indices_or_sections", dim=0)

    def cuts(size: int, local: bool) -> SplitBounds:
        if isinstance(asked, tuple):
            bounds = [0, *(global_and_local(item)[local] for item in asked), size]
            if sorted(bounds) != bounds:
                raise Unsupported("places that do not rise, or that count from the end")
            return bounds
        count = global_and_local(asked)[local]
        return [0, *accumulate(size // count + (i < size % count) for i in range(count))]

    return split_types(x, normalize_dim(dim, as_operand(x).ndim), cuts, asked, operation)


@op_rule("unbind", "__iter__", saves=saves_nothing)
def unbind_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (3, a), dim 0 -> (a), (a), (a)"""
    x, dim = bind_with_aliases(operation, "input", dim=0)
    dim = normalize_dim(dim, as_operand(x).ndim)
    return (_without(x, dim),) * len(operation.results)


@op_rule("select", saves=saves_nothing)
def select_rule(operation: Operation) -> SpmdType:
    """x (a, b), dim 0, index -> (b)"""
    x, dim, index = bind_with_aliases(operation, "input", "dim", "index")
    rank_invariant_int(index)
    return _without(as_operand(x), normalize_dim(dim, x.ndim))


def _without(x: Operand, dim: int) -> SpmdType:
    return remap_dims(x.type, {d: d - (d > dim) for d in range(x.ndim) if d != dim})


@op_rule("narrow", accepts_rank_dependent=True, saves=saves_nothing)
def narrow_rule(operation: Operation) -> SpmdType:
    """x (a, 5), dim 1, start 1, length 3 -> (a, 3)"""
    x, dim, start, length = bind_with_aliases(operation, "input", "dim", "start", "length")
    dim = normalize_dim(dim, as_operand(x).ndim)
    sizes = (x.shape[dim], x.local_shape(operation.ranks)[dim])
    starts = [n + size if n < 0 else n for n, size in zip(global_and_local(start), sizes)]
    whole, local = (range(n, n + m) for n, m in zip(starts, global_and_local(length)))
    written = not isinstance(start, RankDependent) and not isinstance(length, RankDependent)
    if sharded_dim(x.type) == dim:
        return slice_type(x.type, sizes[0], whole, local, operation.ranks, is_literal=written)
    if whole != local:
        raise size_read_violation(start if isinstance(start, RankDependent) else length)
    return x.type  # type: ignore[no-any-return]
