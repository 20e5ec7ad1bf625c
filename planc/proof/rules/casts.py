"""Casts to other dtypes and devices."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


def cast_is_nonlinear(operand: Operand, dtype: str) -> bool:
    """Whether the cast of a sum is not the sum of casts: to integers from floats, or to bool."""
    return not _is_inexact(dtype) and (_is_inexact(operand.dtype) or dtype == "bool")


def _is_inexact(dtype: str) -> bool:
    return "float" in dtype or dtype.startswith("complex") or dtype in ("half", "double")


@op_rule("float", "double", "half", "bfloat16", "to", "type", "type_as", saves=saves_nothing, entries="same")
@op_rule("long", "int", "short", "char", "byte", "bool", "cpu", "cuda", saves=saves_nothing)
def cast_rule(operation: Operation) -> SpmdType:
    """x -> as x; another tensor among the arguments gives its dtype alone."""
    x = operation.arguments[0] if operation.arguments else None
    if not isinstance(x, Operand):
        raise Unsupported(f"{operation.name} lacks its tensor")
    if x.type is PARTIAL and cast_is_nonlinear(x, operation.results[0].dtype):
        raise RuleViolation(PartialOperand("cast", operation.results[0].dtype))
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, linear_in="all")
