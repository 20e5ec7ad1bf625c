"""Operations that put tensors together along a dim."""

from __future__ import annotations

from collections.abc import Sequence

from planc.layouts.arguments import arguments, dim_of, tensor
from planc.layouts.factors import Label, shared
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.types import WHOLE, Packed, Type, cut_dim, packed


def joined(tensors: Sequence[Operand], dim: int) -> Type:
    """The type of tensors that are laid behind each other along a dim that they have."""
    # torch leaves out empty tensors of one dim, whatever the others are.
    pieces = [x for x in tensors if x.shape != (0,)] or list(tensors)
    if len(pieces) == 1:
        return pieces[0].type
    ndim = pieces[0].ndim
    if any(x.ndim != ndim for x in pieces):
        raise NotKnown("tensors with different numbers of dims are put together")
    if all(cut_dim(x.type) == dim for x in pieces):
        # Slices of each, one behind the other: what a packed projection gives.
        return packed(dim, tuple(part for x in pieces for part in _parts(x, dim)))
    labels: tuple[Label, ...] = tuple("along" if d == dim else d for d in range(ndim))
    terms = [(x, labels) for x in pieces]
    return shared(terms, labels, fixed=("along",), why="is put together along that dim", linear="all")


def _parts(piece: Operand, dim: int) -> tuple[int, ...]:
    return piece.type.parts if isinstance(piece.type, Packed) else (piece.shape[dim],)


def stacked(tensors: Sequence[Operand], dim: int) -> Type:
    """The type of tensors that are laid behind each other along a new dim."""
    labels: list[Label] = list(range(tensors[0].ndim))
    terms = [(x, tuple(labels)) for x in tensors]
    labels.insert(dim, "along")
    return shared(terms, tuple(labels), linear="all")


def _given(operation: Operation) -> tuple[list[Operand], int]:
    # `cat` of one tensor takes it as a list too: its rows.
    items, dim = arguments(operation, "tensors", dim=0)
    if not isinstance(items, tuple) or not items:
        raise NotKnown("tensors that are put together are not listed")
    return [tensor(item) for item in items], dim


@rule("cat", "concat", "concatenate")
def cat(operation: Operation) -> Type:
    """(a, b), (a, c), dim 1 -> (a, b + c)"""
    tensors, dim = _given(operation)
    return joined(tensors, dim_of(dim, len(operation.results[0].shape)))


@rule("stack")
def stack(operation: Operation) -> Type:
    """(a, b), (a, b), dim 1 -> (a, 2, b)"""
    tensors, dim = _given(operation)
    return stacked(tensors, dim_of(dim, tensors[0].ndim + 1))


@rule("hstack")
def hstack(operation: Operation) -> Type:
    """(a, b), (a, c) -> (a, b + c); of one dim: (a), (b) -> (a + b)"""
    tensors, _ = _given(operation)
    return joined(_many(tensors, 1), 0 if tensors[0].ndim == 1 else 1)


@rule("vstack", "row_stack")
def vstack(operation: Operation) -> Type:
    """(a, c), (b, c) -> (a + b, c); of one dim: (a), (a) -> (2, a)"""
    tensors, _ = _given(operation)
    return stacked(tensors, 0) if tensors[0].ndim == 1 else joined(_many(tensors, 2), 0)


@rule("column_stack")
def column_stack(operation: Operation) -> Type:
    """(a, b), (a, c) -> (a, b + c); of one dim: (a), (a) -> (a, 2)"""
    tensors, _ = _given(operation)
    return stacked(tensors, 1) if tensors[0].ndim == 1 else joined(_many(tensors, 2), 1)


@rule("dstack")
def dstack(operation: Operation) -> Type:
    """(a, b, c), (a, b, d) -> (a, b, c + d); of two dims: (a, b), (a, b) -> (a, b, 2)"""
    tensors, _ = _given(operation)
    return stacked(tensors, 2) if tensors[0].ndim == 2 else joined(_many(tensors, 3), 2)


def _many(tensors: list[Operand], least: int) -> list[Operand]:
    if any(x.ndim < least for x in tensors):
        raise NotKnown("tensors of few dims are put together")
    return tensors


@rule("meshgrid")
def meshgrid(operation: Operation) -> tuple[Type, ...]:
    """(a), (b) -> (a, b), (a, b)"""
    items = operation.operands()
    if any(tensor(x).type not in WHOLE for x in items) or len(items) != len(operation.results):
        raise NotKnown("a grid of what differs between ranks")
    return tuple(x.type for x in items)
