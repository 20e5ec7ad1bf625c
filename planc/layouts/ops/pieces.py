"""Operations that take a tensor apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from planc.layouts.arguments import arguments, dim_of, integer, pair, read, tensor
from planc.layouts.moves import FUSED, carried, piece
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused, differing
from planc.layouts.ops import rule
from planc.layouts.types import Type, cut_dim

Bounds = list[int]


def pieces(
    x: Operand, dim: int, cuts: Callable[[int, bool], Bounds], asked: Any, operation: Operation
) -> tuple[Type, ...]:
    """The types of the pieces that a tensor falls into.

    Args:
        x: the tensor.
        dim: where it is cut.
        cuts: the bounds of the pieces, from the size of the dim, whole (False) or on a rank (True).
        asked: what the code asked for.
        operation: the call.
    """
    size = x.shape[dim]
    whole, local = cuts(size, False), cuts(x.local(operation.ranks)[dim], True)
    unlike = next(differing(asked), None)
    if cut_dim(x.type) != dim:
        if whole != local:
            raise read(unlike)
        return (x.type,) * (len(whole) - 1)
    kinds = tuple(
        piece(x.type, size, range(*w), range(*n), operation.ranks, written=unlike is None)
        for w, n in zip(pairwise(whole), pairwise(local))
    )
    if len(whole) != len(local) or local[-1] != x.local(operation.ranks)[dim]:
        raise Refused("cut-along", f"dim {dim} is {x.type}, and is cut into other pieces on a rank", FUSED)
    return kinds


def _each(step: Any) -> Callable[[int, bool], Bounds]:
    def cuts(size: int, local: bool) -> Bounds:
        own = pair(step)[local]
        if own < 1:
            raise NotKnown("pieces without entries")
        return [*range(0, size, own), size]

    return cuts


def _listed(sizes: tuple[Any, ...]) -> Callable[[int, bool], Bounds]:
    return lambda _size, local: [0, *accumulate(pair(item)[local] for item in sizes)]


@rule("split", "split_with_sizes", "unsafe_split", sizes=True)
def split(operation: Operation) -> tuple[Type, ...]:
    """x (a, 5), 2, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    names = {"split_size_or_sections": "split_size", "split_sizes": "split_size"}
    keywords = {names.get(name, name): value for name, value in operation.keywords.items()}
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    x, sizes, dim = arguments(same, "input", "split_size", dim=0)
    cuts = _listed(sizes) if isinstance(sizes, tuple) else _each(sizes)
    return pieces(x, dim_of(dim, tensor(x).ndim), cuts, sizes, operation)


@rule("chunk", "unsafe_chunk", sizes=True)
def chunk(operation: Operation) -> tuple[Type, ...]:
    """x (a, 5), 3, dim 1 -> (a, 2), (a, 2), (a, 1)"""
    x, count, dim = arguments(operation, "input", "chunks", dim=0)
    return pieces(x, dim_of(dim, tensor(x).ndim), lambda size, local: _each(max(1, -(-size // pair(count)[local])))(
        size, local), count, operation)  # fmt: skip


@rule("tensor_split", sizes=True)
def tensor_split(operation: Operation) -> tuple[Type, ...]:
    """x (a, 5), 3, dim 1 -> (a, 2), (a, 2), (a, 1); or the places where it is cut"""
    names = {"indices": "indices_or_sections", "sections": "indices_or_sections"}
    keywords = {names.get(name, name): value for name, value in operation.keywords.items()}
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    x, asked, dim = arguments(same, "input", "indices_or_sections", dim=0)

    def cuts(size: int, local: bool) -> Bounds:
        if isinstance(asked, tuple):
            bounds = [0, *(pair(item)[local] for item in asked), size]
            if sorted(bounds) != bounds:
                raise NotKnown("places that do not rise, or that count from the end")
            return bounds
        count = pair(asked)[local]
        return [0, *accumulate(size // count + (i < size % count) for i in range(count))]

    return pieces(x, dim_of(dim, tensor(x).ndim), cuts, asked, operation)


@rule("unbind", "__iter__")
def unbind(operation: Operation) -> tuple[Type, ...]:
    """x (3, a), dim 0 -> (a), (a), (a)"""
    x, dim = arguments(operation, "input", dim=0)
    dim = dim_of(dim, tensor(x).ndim)
    return (_without(x, dim),) * len(operation.results)


@rule("select")
def select(operation: Operation) -> Type:
    """x (a, b), dim 0, index -> (b)"""
    x, dim, index = arguments(operation, "input", "dim", "index")
    integer(index)
    return _without(tensor(x), dim_of(dim, x.ndim))


def _without(x: Operand, dim: int) -> Type:
    return carried(x.type, {d: d - (d > dim) for d in range(x.ndim) if d != dim})


@rule("narrow", sizes=True)
def narrow(operation: Operation) -> Type:
    """x (a, 5), dim 1, start 1, length 3 -> (a, 3)"""
    x, dim, start, length = arguments(operation, "input", "dim", "start", "length")
    dim = dim_of(dim, tensor(x).ndim)
    sizes = (x.shape[dim], x.local(operation.ranks)[dim])
    starts = [n + size if n < 0 else n for n, size in zip(pair(start), sizes)]
    whole, local = (range(n, n + m) for n, m in zip(starts, pair(length)))
    written = not isinstance(start, Differs) and not isinstance(length, Differs)
    if cut_dim(x.type) == dim:
        return piece(x.type, sizes[0], whole, local, operation.ranks, written=written)
    if whole != local:
        raise read(start if isinstance(start, Differs) else length)
    return x.type  # type: ignore[no-any-return]
