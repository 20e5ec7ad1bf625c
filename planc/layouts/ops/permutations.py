"""Operations that give the dims another order, and add or drop dims of size 1."""

from __future__ import annotations

from collections.abc import Sequence

from planc.layouts.arguments import arguments, dim_of, dims_of, listed, tensor
from planc.layouts.moves import carried
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import Type, cut_dim


def ordered(x: Operand, order: Sequence[int]) -> Type:
    """The type of a tensor whose dim `i` was dim `order[i]`."""
    if sorted(order) != list(range(x.ndim)):
        raise NotKnown(f"{tuple(order)} is no order of {x.ndim} dims")
    return carried(x.type, [order.index(d) for d in range(x.ndim)])


def swapped(x: Operand, first: int, second: int) -> Type:
    """The type of a tensor two dims of which change places."""
    order = list(range(x.ndim))
    if order:
        order[first], order[second] = second, first
    return ordered(x, order)


@rule("transpose", "swapdims", "transpose_", "swapdims_")
def transpose(operation: Operation) -> Type:
    """x (a, b, c), dims 0 and 2 -> (c, b, a)"""
    x, first, second = arguments(operation, "input", "dim0", "dim1")
    return swapped(tensor(x), dim_of(first, x.ndim), dim_of(second, x.ndim))


@rule("swapaxes", "swapaxes_")
def swapaxes(operation: Operation) -> Type:
    """x (a, b, c), axes 0 and 2 -> (c, b, a)"""
    x, first, second = arguments(operation, "input", "axis0", "axis1")
    return swapped(tensor(x), dim_of(first, x.ndim), dim_of(second, x.ndim))


@rule("t", "t_", "T")
def t(operation: Operation) -> Type:
    """x (a, b) -> (b, a)"""
    (x,) = arguments(operation, "input")
    return ordered(tensor(x), tuple(reversed(range(x.ndim))))


@rule("mT", "mH", "adjoint")
def m_t(operation: Operation) -> Type:
    """x (a, b, c) -> (a, c, b)"""
    (x,) = arguments(operation, "input")
    return swapped(tensor(x), x.ndim - 2, x.ndim - 1)


@rule("permute")
def permute(operation: Operation) -> Type:
    """x (a, b, c), dims (2, 0, 1) -> (c, a, b)"""
    x, dims = listed(operation, "dims")
    return ordered(x, dims_of(dims, x.ndim))


@rule("movedim", "moveaxis")
def movedim(operation: Operation) -> Type:
    """x (a, b, c), 0 to 2 -> (b, c, a)"""
    x, source, destination = arguments(operation, "input", "source", "destination")
    sources, targets = dims_of(source, tensor(x).ndim), dims_of(destination, x.ndim)
    if len(set(sources)) != len(sources) or len(set(targets)) != len(sources):
        raise NotKnown("the dims that move do not fit")
    order = [d for d in range(x.ndim) if d not in sources]
    for target, old in sorted(zip(targets, sources)):
        order.insert(target, old)
    return ordered(x, order)


@rule("unsqueeze", "unsqueeze_")
def unsqueeze(operation: Operation) -> Type:
    """x (a, b), dim 1 -> (a, 1, b)"""
    x, dim = arguments(operation, "input", "dim")
    dim = dim_of(dim, tensor(x).ndim + 1)
    return carried(x.type, [d + (d >= dim) for d in range(x.ndim)])


@rule("squeeze", "squeeze_")
def squeeze(operation: Operation) -> Type:
    """x (a, 1, b), dim 1 -> (a, b)"""
    x, dims = arguments(operation, "input", dim=None)
    chosen = range(tensor(x).ndim) if dims is None else dims_of(dims, x.ndim)
    cut = cut_dim(x.type)
    if cut in chosen and x.local(operation.ranks)[cut] == 1:
        raise Refused("cut-dim", f"dim {cut} has size 1 on a rank, where it is squeezed away; it has {x.shape[cut]}",
                      "the dims to squeeze by number")  # fmt: skip
    left = [d for d in range(x.ndim) if d not in chosen or x.shape[d] != 1]
    return carried(x.type, {d: place for place, d in enumerate(left)})
