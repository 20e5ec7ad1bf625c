"""Products of matrices."""

from __future__ import annotations

from planc.layouts.factors import Term, shared
from planc.layouts.operation import Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import LATE, PARTIAL, Type


@rule("linear")
def linear(operation: Operation) -> Type:
    """x (..., in), weight (out, in), bias (out) -> (..., out)"""
    x, weight, bias = operation.bind("input", "weight", bias=None)
    batch = tuple(range(x.ndim - 1))
    out = ("out",)[: weight.ndim - 1]
    terms: list[Term] = [(x, (*batch, "in")), (weight, (*out, "in"))]
    if isinstance(bias, Operand):
        terms.append((bias, out))
    kind = shared(terms, (*batch, *out), sums=("in",), linear=(0, 1))
    if kind is PARTIAL and isinstance(bias, Operand) and bias.type is not LATE:
        raise Refused("partial", "a bias is added to a pending sum on every rank",
                      "rowwise, which adds the bias once, after the sum")  # fmt: skip
    return kind
