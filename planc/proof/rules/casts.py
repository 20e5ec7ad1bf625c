"""Other dtypes and devices for the same numbers."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


def cast_is_nonlinear(operand: Operand, dtype: str) -> bool:
    """Whether a cast to this dtype is more than the rounding of floats."""
    return not _inexact(dtype) and (_inexact(operand.dtype) or dtype == "bool")


def _inexact(dtype: str) -> bool:
    return "float" in dtype or dtype.startswith("complex") or dtype in ("half", "double")


@op_rule("float", "double", "half", "bfloat16", "to", "type", "type_as", saves=saves_nothing, entries="same")
@op_rule("long", "int", "short", "char", "byte", "bool", "cpu", "cuda", saves=saves_nothing)
def cast_rule(operation: Operation) -> SpmdType:
    """x.to(anything): only x counts, another tensor gives nothing but its dtype."""
    x = operation.arguments[0] if operation.arguments else None
    if not isinstance(x, Operand):
        raise Unsupported(f"{operation.name} is called without a tensor")
    if x.type is PARTIAL and cast_is_nonlinear(x, operation.results[0].dtype):
        raise RuleViolation(PartialOperand("cast", operation.results[0].dtype))
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, linear_in="all")
