"""Products of matrices."""

from __future__ import annotations

from typing import Any

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.inplace import kept
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


@rule("matmul", "__matmul__", "mm", "bmm", "mv", "dot", "__rmatmul__")
def matmul(operation: Operation) -> Type:
    """a (..., n, k), b (..., k, m) -> (..., n, m); a or b may be a vector (k)"""
    a, b = (
        operation.bind("input", "other") if "other" in operation.keywords else operation.bind("input", "mat2")
    )
    return product(operation, b, a) if operation.name == "__rmatmul__" else product(operation, a, b)


def product(operation: Operation, a: Any, b: Any) -> Type:
    """The type of a @ b."""
    if not isinstance(a, Operand) or not isinstance(b, Operand):
        raise NotKnown(f"{operation.name} multiplies two tensors")
    rows, columns = ("n",) if a.ndim > 1 else (), ("m",) if b.ndim > 1 else ()
    shape = operation.results[0].shape
    batch = shape[: len(shape) - len(rows) - len(columns)]
    left: Labels = (*_batch(a, 1 + len(rows), batch), *rows, "k")
    right: Labels = (*_batch(b, 1 + len(columns), batch), "k", *columns)
    return shared([(a, left), (b, right)], (*range(len(batch)), *rows, *columns), sums=("k",), linear=(0, 1))


def _batch(operand: Operand, last: int, batch: tuple[int, ...]) -> Labels:
    shape = operand.shape[: operand.ndim - last]
    return aligned(Operand(operand.type, shape), batch)


@rule("addmm", "addmm_", "baddbmm", "baddbmm_")
def addmm(operation: Operation) -> Type:
    """beta * bias + alpha * (a @ b)"""
    names = ("batch1", "batch2") if operation.name.startswith("b") else ("mat1", "mat2")
    bias, a, b, _, _ = operation.bind("input", *names, beta=1, alpha=1)
    kind = with_bias(operation, product(operation, a, b), bias)
    return kept(operation, kind) if operation.name.endswith("_") else kind


def with_bias(operation: Operation, kind: Type, bias: Any) -> Type:
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


@rule("einsum")
def einsum(operation: Operation) -> Type:
    """einsum("bij,bjk->bik", a, b): dims by their letters, `...` by their places from the last."""
    equation, *given = operation.arguments
    operands = given[0] if len(given) == 1 and isinstance(given[0], tuple) else tuple(given)
    if (
        not isinstance(equation, str)
        or not all(isinstance(o, Operand) for o in operands)
        or operation.keywords
    ):
        raise NotKnown("einsum is understood with an equation and tensors")
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise NotKnown("the equation of einsum names other operands")
    named = [_named(text, operand.ndim) for text, operand in zip(letters, operands, strict=True)]
    if not arrow:
        flat = [label for labels in named for label in labels]
        dots = sorted({label for label in flat if isinstance(label, int)})
        result: Labels = (*dots, *sorted({x for x in flat if isinstance(x, str) and flat.count(x) == 1}))
    else:
        result = _named(output, len(operation.results[0].shape))
    terms: list[Term] = [
        (o, _stretched(o, labels, operands, named)) for o, labels in zip(operands, named, strict=True)
    ]
    twice = {label for labels in named for label in labels if labels.count(label) > 1}
    sums = {label for labels in named for label in labels} - set(result) - twice
    return shared(terms, result, sums=sums, fixed=twice, linear=range(len(terms)), why="it takes a diagonal")


def _named(text: str, ndim: int) -> Labels:
    before, dots, after = text.partition("...")
    middle = tuple(range(len(before) + len(after) - ndim, 0)) if dots else ()
    return (*before, *middle, *after)


def _stretched(operand: Operand, labels: Labels, operands: tuple[Any, ...], named: list[Labels]) -> Labels:
    sizes: dict[Any, int] = {}
    for other, own in zip(operands, named, strict=True):
        for label, size in zip(own, other.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return tuple(None if size == 1 != sizes[x] else x for x, size in zip(labels, operand.shape, strict=True))
