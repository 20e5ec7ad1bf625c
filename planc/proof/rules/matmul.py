"""Matrix products."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Op, WeightRef
from planc.proof.rules.arguments import as_operand
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import saves_factors
from planc.proof.types import DEFERRED_BIAS, PARTIAL, SpmdType, sharded_dim
from planc.proof.violations import PartialOperand


def addmm_adds_bias(step: Op, name: str) -> bool:
    """Whether the parameter is the first operand, and beta is 1."""
    return step.keywords.get("beta", 1) == 1 and step.arguments[:1] == (WeightRef(name),)


def views_product(operation: Operation) -> bool:
    """Whether torch adds the bias to a product of matrices, and returns a view of that."""
    x, _, bias = operation.bind_arguments("input", "weight", bias=None)
    return bias is not None and isinstance(x, Operand) and x.ndim > 2


@op_rule(
    "linear", saves=saves_factors(), may_alias=False, adds_bias=always, returns_view=views_product,
    saved_as=("matmul",),
)  # fmt: skip
def linear_rule(operation: Operation) -> SpmdType:
    """x (..., in), weight (out, in), bias (out) -> (..., out)"""
    x, weight, bias = operation.bind_arguments("input", "weight", bias=None)
    batch = tuple(range(x.ndim - 1))
    out = ("out",)[: weight.ndim - 1]
    operands: list[LabeledOperand] = [(x, (*batch, "in")), (weight, (*out, "in"))]
    product = einsum_rule(operands, (*batch, *out), reduction=("in",), linear_in=(0, 1))
    return add_bias_type(operation, product, bias)


@op_rule(
    "matmul", "__matmul__", "mm", "bmm", "mv", "dot", "vdot", "__rmatmul__", saves=saves_factors(), may_alias=False,
    saved_as=("matmul",),
)  # fmt: skip
def matmul_rule(operation: Operation) -> SpmdType:
    """a (..., n, k), b (..., k, m) -> (..., n, m); a or b may be a vector (k)"""
    a, b = operation.bind_arguments("input", "other" if "other" in operation.keywords else "mat2")
    return matmul_type(operation, b, a) if operation.name == "__rmatmul__" else matmul_type(operation, a, b)


def matmul_type(operation: Operation, a: Any, b: Any) -> SpmdType:
    """The type of a @ b."""
    if not isinstance(a, Operand) or not isinstance(b, Operand):
        raise Unsupported(f"the rule of {operation.name} expects two tensors")
    rows, columns = ("n",) if a.ndim > 1 else (), ("m",) if b.ndim > 1 else ()
    shape = operation.results[0].shape
    batch = shape[: len(shape) - len(rows) - len(columns)]
    left: DimLabels = (*_batch_labels(a, 1 + len(rows), batch), *rows, "k")
    right: DimLabels = (*_batch_labels(b, 1 + len(columns), batch), "k", *columns)
    return einsum_rule(
        [(a, left), (b, right)], (*range(len(batch)), *rows, *columns), reduction=("k",), linear_in=(0, 1)
    )


def _batch_labels(operand: Operand, last: int, batch: tuple[int, ...]) -> DimLabels:
    shape = operand.shape[: operand.ndim - last]
    return broadcast_labels(Operand(operand.type, shape), batch)


@op_rule(
    "addmm", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False, adds_bias=addmm_adds_bias,
    saved_as=("matmul",),
)  # fmt: skip
@op_rule("baddbmm", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False, saved_as=("matmul",))
def addmm_rule(operation: Operation) -> SpmdType:
    """beta * bias + alpha * (a @ b)"""
    names = ("batch1", "batch2") if operation.name.startswith("b") else ("mat1", "mat2")
    bias, a, b, beta, _ = operation.bind_arguments("input", *names, beta=1, alpha=1)
    product = matmul_type(operation, a, b)
    # With a beta of 0 torch does not read the bias, which may be empty memory.
    is_read = beta != 0 or product is not PARTIAL or sharded_dim(as_operand(bias).type) is not None
    spmd_type = add_bias_type(operation, product, bias) if is_read else product
    return inplace_type(operation, spmd_type) if operation.name.endswith("_") else spmd_type


def add_bias_type(operation: Operation, product: SpmdType, bias: Any) -> SpmdType:
    """The type of a product plus a bias that broadcasts to it.

    Raises:
        RuleViolation: every rank would add the bias to its part of a sum.
    """
    if bias is None or (isinstance(bias, Operand) and bias.type is DEFERRED_BIAS):
        return product
    if not isinstance(bias, Operand):
        raise Unsupported(f"the bias of {operation.name} is not a tensor")
    if product is PARTIAL and bias.type is not PARTIAL:
        raise RuleViolation(PartialOperand("bias"))
    shape = operation.results[0].shape
    dims: DimLabels = tuple(range(len(shape)))
    return einsum_rule(
        [(Operand(product, shape), dims), (bias, broadcast_labels(bias, shape))], dims, linear_in="all"
    )
