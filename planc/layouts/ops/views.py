"""Operations that give the same numbers, in the same order, another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from planc.layouts.arguments import arguments, dim_of, listed, pair, read, spread, tensor
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import Packed, Split, Type, cut_dim, local_shape, packed, split

Shape = tuple[int, ...]


def groups(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
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


def reshaped(kind: Type, before: Shape, after: Shape, ranks: int) -> Type:
    """The type of a tensor that takes another shape."""
    if not isinstance(kind, Split | Packed):
        return kind
    if prod(before) != prod(after) or not prod(before):
        raise NotKnown("a view of an empty tensor, or one that has another size")
    if isinstance(kind, Packed):
        try:
            return _packed(kind, before, after, ranks)
        except Refused:
            if len(set(kind.parts)) > 1:
                raise
            # (..., k * m, ...) of k equal parts is (..., k, m, ...) with m split.
            within = (*before[: kind.dim], len(kind.parts), kind.parts[0], *before[kind.dim + 1 :])
            with suppress(Refused, NotKnown):
                return reshaped(split(kind.dim + 1), within, after, ranks)
            raise
    _, new = _group(kind.dim, before, after)
    dim, size = new[0], after[new[0]]
    if size % ranks:
        raise Refused("cut-dim", f"dim {dim} of size {size} cannot be cut into {ranks}",
                      f"a number of ranks that divides {size}, so that each has whole ones")  # fmt: skip
    return split(dim)


def _packed(kind: Packed, before: Shape, after: Shape, ranks: int) -> Type:
    old, new = _group(kind.dim, before, after)
    behind = prod(after[d] for d in new[1:])
    parts = [part * prod(before[d] for d in old[1:]) for part in kind.parts]
    if any(part % (behind * ranks) for part in parts):
        raise Refused("cut-dim", f"dim {new[0]} of size {after[new[0]]} does not keep the parts {kind.parts} that are "
                      f"each cut into {ranks}", "parts that the ranks can share")  # fmt: skip
    return packed(new[0], tuple(part // behind for part in parts))


def _group(dim: int, before: Shape, after: Shape) -> tuple[list[int], list[int]]:
    """The dims that a cut dim, the first of its group, is viewed with, and what they become."""
    old, new = next(group for group in groups(before, after) if dim in group[0])
    if place := old.index(dim):
        raise Refused("cut-dim", f"dim {dim} is merged behind dim {old[place - 1]}",
                      "a split along the first of the dims that are merged")  # fmt: skip
    return old, new


def agree(sizes: Sequence[Any], shape: Shape, kind: Type, operation: Operation) -> Type:
    """Check that what the code asks for is, on a rank, the rank's own shape; -1 always is."""
    if len(sizes) != len(shape):
        raise NotKnown(f"{operation.name} with {len(sizes)} sizes gives {len(shape)} dims")
    for d, (item, own) in enumerate(zip(sizes, local_shape(shape, kind, operation.ranks))):
        whole, local = pair(item)
        if whole not in (-1, shape[d]):
            raise NotKnown(f"size {whole} gives {shape[d]}")
        if local == own or (local == -1 and not isinstance(item, Differs)):
            continue
        if isinstance(item, Differs):
            raise read(item)
        raise Refused("size-written", f"the size of dim {d} is written out as {local}, where a rank has {own}",
                      "-1 in the code, or attributes(...) that give the module its own share")  # fmt: skip
    return kind


@rule("view", sizes=True)
def view(operation: Operation) -> Type:
    """x (a, b) -> (c, d), the same numbers in the same order"""
    return _asked(operation, *listed(operation, "size"))


@rule("reshape", sizes=True)
def reshape(operation: Operation) -> Type:
    """x (a, b) -> (c, d), the same numbers in the same order"""
    return _asked(operation, *listed(operation, "shape"))


def _asked(operation: Operation, x: Operand, sizes: tuple[Any, ...]) -> Type:
    shape = operation.results[0].shape
    for item in sizes:
        pair(item)
    return agree(sizes, shape, reshaped(x.type, x.shape, shape, operation.ranks), operation)


@rule("flatten", "ravel")
def flatten(operation: Operation) -> Type:
    """x (a, b, c) -> (a, b * c)"""
    x, start, end = arguments(operation, "input", start_dim=0, end_dim=-1)
    dim_of(start, x.ndim), dim_of(end, x.ndim)
    return reshaped(tensor(x).type, x.shape, operation.results[0].shape, operation.ranks)


@rule("unflatten", sizes=True)
def unflatten(operation: Operation) -> Type:
    """x (a, b * c), dim 1, sizes (b, c) -> (a, b, c)"""
    if len(operation.arguments) > 3:
        operation = Operation(operation.name, (*operation.arguments[:2], operation.arguments[2:]),
                              operation.keywords, operation.results, operation.ranks)  # fmt: skip
    x, dim, sizes = arguments(operation, "input", "dim", "sizes")
    dim, sizes = dim_of(dim, tensor(x).ndim), spread((sizes,))
    asked = (-1,) * dim + sizes + (-1,) * (x.ndim - dim - 1)
    return _asked(operation, x, asked)


@rule("view_as", "reshape_as")
def view_as(operation: Operation) -> Type:
    """x (a, b), other (c, d) -> (c, d)"""
    x, other = (tensor(item) for item in arguments(operation, "input", "other"))
    kind = reshaped(x.type, x.shape, other.shape, operation.ranks)
    if local_shape(other.shape, kind, operation.ranks) != other.local(operation.ranks):
        raise Refused("meet", f"a tensor that becomes {kind} takes the shape of one that is {other.type}",
                      "tensors that are split alike")  # fmt: skip
    return kind


@rule("view_as_real")
def view_as_real(operation: Operation) -> Type:
    """x (a, b) complex -> (a, b, 2)"""
    (x,) = arguments(operation, "input")
    return tensor(x).type


@rule("view_as_complex")
def view_as_complex(operation: Operation) -> Type:
    """x (a, b, 2) -> (a, b) complex"""
    (x,) = arguments(operation, "input")
    if cut_dim(tensor(x).type) == x.ndim - 1:
        raise Refused(
            "cut-along", "the real and the imaginary parts are on different ranks", "both on every rank"
        )
    return x.type  # type: ignore[no-any-return]
