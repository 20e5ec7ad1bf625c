"""Products of matrices."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Op, WeightRef
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import saves_factors
from planc.proof.types import DEFERRED_BIAS, PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


def addmm_adds_bias(step: Op, name: str) -> bool:
    """Whether the parameter is the first operand, and beta is 1."""
    return step.keywords.get("beta", 1) == 1 and step.arguments[:1] == (WeightRef(name),)


@op_rule("linear", saves=saves_factors(), may_alias=False, adds_bias=always)
def linear_rule(operation: Operation) -> SpmdType:
    """x (..., in), weight (out, in), bias (out) -> (..., out)"""
    x, weight, bias = operation.bind_arguments("input", "weight", bias=None)
    batch = tuple(range(x.ndim - 1))
    out = ("out",)[: weight.ndim - 1]
    terms: list[LabeledOperand] = [(x, (*batch, "in")), (weight, (*out, "in"))]
    kind = einsum_rule(terms, (*batch, *out), reduction=("in",), linear_in=(0, 1))
    return add_bias_type(operation, kind, bias)


@op_rule(
    "matmul", "__matmul__", "mm", "bmm", "mv", "dot", "__rmatmul__", saves=saves_factors(), may_alias=False,
)  # fmt: skip
def matmul_rule(operation: Operation) -> SpmdType:
    """a (..., n, k), b (..., k, m) -> (..., n, m); a or b may be a vector (k)"""
    a, b = (
        operation.bind_arguments("input", "other")
        if "other" in operation.keywords
        else operation.bind_arguments("input", "mat2")
    )
    return matmul_type(operation, b, a) if operation.name == "__rmatmul__" else matmul_type(operation, a, b)


def matmul_type(operation: Operation, a: Any, b: Any) -> SpmdType:
    """The type of a @ b."""
    if not isinstance(a, Operand) or not isinstance(b, Operand):
        raise Unsupported(f"{operation.name} multiplies two tensors")
    rows, columns = ("n",) if a.ndim > 1 else (), ("m",) if b.ndim > 1 else ()
    shape = operation.results[0].shape
    batch = shape[: len(shape) - len(rows) - len(columns)]
    left: DimLabels = (*_batch(a, 1 + len(rows), batch), *rows, "k")
    right: DimLabels = (*_batch(b, 1 + len(columns), batch), "k", *columns)
    return einsum_rule(
        [(a, left), (b, right)], (*range(len(batch)), *rows, *columns), reduction=("k",), linear_in=(0, 1)
    )


def _batch(operand: Operand, last: int, batch: tuple[int, ...]) -> DimLabels:
    shape = operand.shape[: operand.ndim - last]
    return broadcast_labels(Operand(operand.type, shape), batch)


@op_rule("addmm", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False, adds_bias=addmm_adds_bias)
@op_rule("baddbmm", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False)
def addmm_rule(operation: Operation) -> SpmdType:
    """beta * bias + alpha * (a @ b)"""
    names = ("batch1", "batch2") if operation.name.startswith("b") else ("mat1", "mat2")
    bias, a, b, _, _ = operation.bind_arguments("input", *names, beta=1, alpha=1)
    kind = add_bias_type(operation, matmul_type(operation, a, b), bias)
    return inplace_type(operation, kind) if operation.name.endswith("_") else kind


def add_bias_type(operation: Operation, kind: SpmdType, bias: Any) -> SpmdType:
    """The type of a product of this type, to which a bias is added that fits its last dims."""
    if bias is None or (isinstance(bias, Operand) and bias.type is DEFERRED_BIAS):
        return kind
    if not isinstance(bias, Operand):
        raise Unsupported(f"the bias of {operation.name} is no tensor")
    if kind is PARTIAL and bias.type is not PARTIAL:
        raise RuleViolation(PartialOperand("bias"))
    shape = operation.results[0].shape
    dims: DimLabels = tuple(range(len(shape)))
    return einsum_rule(
        [(Operand(kind, shape), dims), (bias, broadcast_labels(bias, shape))], dims, linear_in="all"
    )


@op_rule("einsum")
def torch_einsum_rule(operation: Operation) -> SpmdType:
    """einsum("bij,bjk->bik", a, b): dims by their letters, `...` by their places from the last."""
    equation, *given = operation.arguments
    operands = given[0] if len(given) == 1 and isinstance(given[0], tuple) else tuple(given)
    if (
        not isinstance(equation, str)
        or not all(isinstance(o, Operand) for o in operands)
        or operation.keywords
    ):
        raise Unsupported("einsum is understood with an equation and tensors")
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise Unsupported("the equation of einsum names other operands")
    named = [_named(text, operand.ndim) for text, operand in zip(letters, operands, strict=True)]
    if not arrow:
        flat = [label for labels in named for label in labels]
        dots = sorted({label for label in flat if isinstance(label, int)})
        result: DimLabels = (*dots, *sorted({x for x in flat if isinstance(x, str) and flat.count(x) == 1}))
    else:
        result = _named(output, len(operation.results[0].shape))
    terms: list[LabeledOperand] = [
        (o, _stretched(o, labels, operands, named)) for o, labels in zip(operands, named, strict=True)
    ]
    twice = {label for labels in named for label in labels if labels.count(label) > 1}
    sums = {label for labels in named for label in labels} - set(result) - twice
    return einsum_rule(
        terms,
        result,
        reduction=sums,
        need_replication=twice,
        linear_in=range(len(terms)),
        use="diagonal",
    )


def _named(text: str, ndim: int) -> DimLabels:
    before, dots, after = text.partition("...")
    middle = tuple(range(len(before) + len(after) - ndim, 0)) if dots else ()
    return (*before, *middle, *after)


def _stretched(
    operand: Operand, labels: DimLabels, operands: tuple[Any, ...], named: list[DimLabels]
) -> DimLabels:
    sizes: dict[Any, int] = {}
    for other, own in zip(operands, named, strict=True):
        for label, size in zip(own, other.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return tuple(None if size == 1 != sizes[x] else x for x, size in zip(labels, operand.shape, strict=True))
