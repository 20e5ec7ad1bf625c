"""Products of matrices."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.pointwise import aligned
from planc.layouts.types import LATE, PARTIAL, Type


@rule("linear")
def linear(operation: Operation) -> Type:
    """x (..., in), weight (out, in), bias (out) -> (..., out)"""
    x, weight, bias = operation.bind("input", "weight", bias=None)
    batch = tuple(range(x.ndim - 1))
    out = ("out",)[: weight.ndim - 1]
    terms: list[Term] = [(x, (*batch, "in")), (weight, (*out, "in"))]
    kind = shared(terms, (*batch, *out), sums=("in",), linear=(0, 1))
    return with_bias(operation, kind, bias)


def with_bias(operation: Operation, kind: Type, bias: object) -> Type:
    """The type of a product of this type, to which a bias is added that fits its last dims."""
    if bias is None or (isinstance(bias, Operand) and bias.type is LATE):
        return kind
    if not isinstance(bias, Operand):
        raise NotKnown(f"the bias of {operation.name} is no tensor")
    if kind is PARTIAL and bias.type is not PARTIAL:
        raise Refused("partial", "a bias is added to a pending sum on every rank",
                      "rowwise, which adds the bias once, after the sum")  # fmt: skip
    shape = operation.results[0].shape
    dims: Labels = tuple(range(len(shape)))
    return shared([(Operand(kind, shape), dims), (bias, aligned(bias, shape))], dims, linear="all")
