"""Convolutions."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import Differs, Fault, NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import LATE, PARTIAL, Type, cut_dim, split


@rule("conv1d", "conv2d", "conv3d", sizes=True)
def conv(operation: Operation) -> Type:
    """x (b, in, *places), weight (out, in / groups, *window), bias (out) -> (b, out, *places)"""
    x, weight, bias, *rest, groups = operation.bind(
        "input", "weight", bias=None, stride=1, padding=0, dilation=1, groups=1
    )
    if any(
        isinstance(part, Differs) for item in rest for part in (item if isinstance(item, tuple) else (item,))
    ):
        raise NotKnown("a stride, a padding or a dilation is not the same on the ranks")
    places = tuple(range(weight.ndim - 2))
    window: Labels = tuple(f"window {place}" for place in places)
    batch: Labels = ("b",) if x.ndim == weight.ndim else ()
    if groups != 1:
        return _grouped(operation, groups, x, weight, bias)
    terms: list[Term] = [(x, (*batch, "in", *places)), (weight, ("out", "in", *window))]
    result: Labels = (*batch, "out", *places)
    why = "a convolution works along that dim"
    kind = shared(terms, result, sums=("in",), fixed=(*places, *window), why=why, linear=(0, 1))
    if bias is None or bias.type is LATE:
        return kind
    if kind is PARTIAL and bias.type is not PARTIAL:
        raise Refused("partial", "a bias is added to a pending sum on every rank",
                      "rowwise, which adds the bias once, after the sum")  # fmt: skip
    product = Operand(kind, operation.results[0].shape)
    return shared([(product, result), (bias, ("out",))], result, linear="all")


def _grouped(
    operation: Operation, groups: int | Differs, x: Operand, weight: Operand, bias: Operand | None
) -> Type:
    """Groups may be shared among the ranks, if their number is a rank's own."""
    batched = x.ndim == weight.ndim
    operands = [x, weight] if bias is None else [x, weight, bias]
    if any(operand.type is LATE for operand in operands):
        raise NotKnown("a bias that is added after the sum, in a convolution in groups")
    own = groups.local if isinstance(groups, Differs) else groups
    channel = int(batched)
    if isinstance(groups, Differs):
        fits = groups.whole == groups.local * operation.ranks if groups.local is not None else False
        if not fits or x.type is not split(channel) or any(cut_dim(o.type) != 0 for o in operands[1:]):
            raise Refused("meet", f"a convolution in {groups.whole} groups, {own} of them on a rank",
                          "all of its operands split along the groups")  # fmt: skip
        if not all(operand.type is split(0) for operand in operands[1:]):
            raise NotKnown("packed weights of a convolution in groups")
        return split(channel)
    fixed = [f"x{d}" for d in range(int(batched), x.ndim)] + [f"w{d}" for d in range(weight.ndim)]
    labels: Labels = tuple("b" if batched and d == 0 else f"x{d}" for d in range(x.ndim))
    terms: list[Term] = [(x, labels), (weight, tuple(f"w{d}" for d in range(weight.ndim)))]
    if bias is not None:
        terms.append((bias, ("w0",)))
    law: Fault = "size-written" if cut_dim(x.type) == channel else "cut-along"
    return shared(terms, labels, fixed=fixed, why=f"it is convolved in {own} groups", law=law,
                  linear=(0, 1) if bias is None else ())  # fmt: skip
