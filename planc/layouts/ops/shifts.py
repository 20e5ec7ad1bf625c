"""Operations that move entries along a dim, or treat them by their place in it."""

from __future__ import annotations

from planc.layouts.arguments import arguments, dim_of, dims_of, integer, listed, spread, tensor
from planc.layouts.factors import Labels, shared
from planc.layouts.moves import fixed
from planc.layouts.operation import NotKnown, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import PARTIAL, Packed, Type


@rule("roll")
def roll(operation: Operation) -> Type:
    """x (a, b) -> (a, b), moved along some of the dims"""
    x, _, dims = arguments(operation, "input", "shifts", dims=None)
    moved = dims_of(dims, tensor(x).ndim) if dims not in (None, ()) else tuple(range(x.ndim))
    return fixed(x.type, moved, "rolled")


@rule("flip")
def flip(operation: Operation) -> Type:
    """x (a, b) -> (a, b), some of the dims backwards"""
    x, dims = listed(operation, "dims")
    return fixed(x.type, dims_of(dims, x.ndim), "flipped")


@rule("pad")
def pad(operation: Operation) -> Type:
    """x (a, b), (1, 2) -> (a, 1 + b + 2)"""
    x, sizes, _, value = arguments(operation, "input", "pad", mode="constant", value=None)
    widths = [integer(size) for size in spread((sizes,))]
    padded = [tensor(x).ndim - 1 - i // 2 for i, width in enumerate(widths) if width]
    if x.type is PARTIAL and value not in (None, 0):
        raise Refused("partial", "a pending sum is padded with numbers other than 0", "the sum taken first")
    return fixed(x.type, padded, "padded")


@rule("unfold")
def unfold(operation: Operation) -> Type:
    """x (a, b), windows of 3 along dim 1 -> (a, windows, 3); x (b, c, h, w) -> (b, c * window, windows)"""
    if len(operation.results[0].shape) != operation.operands()[0].ndim + 1:
        return _patches(operation)
    x, dim, _, _ = arguments(operation, "input", "dimension", "size", "step")
    return fixed(tensor(x).type, [dim_of(dim, x.ndim)], "cut into windows")


def _patches(operation: Operation) -> Type:
    """The windows of images: a row for each window, with all of a channel before the next one."""
    x, *_ = operation.bind("input", "kernel_size", dilation=1, padding=0, stride=1)
    if isinstance(tensor(x).type, Packed):
        raise NotKnown("patches of channels that are cut in several parts")
    batch: Labels = ("b",) if x.ndim == 4 else ()
    return shared([(x, (*batch, "c", "h", "w"))], (*batch, "c", None), fixed=("h", "w"),
                  why="it is cut into patches along that dim", linear=(0,))  # fmt: skip


@rule("tril", "triu")
def triangle(operation: Operation) -> Type:
    """x (..., a, b) -> (..., a, b), 0 on one side of a diagonal"""
    x, diagonal = arguments(operation, "input", diagonal=0)
    integer(diagonal)
    rest = tuple(range(tensor(x).ndim - 2))
    labels: Labels = (*rest, "row", "column")
    return shared(
        [(x, labels)], labels, fixed=("row", "column"), why="a diagonal runs along that dim", linear=(0,)
    )
