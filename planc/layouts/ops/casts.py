"""Other dtypes and devices for the same numbers."""

from __future__ import annotations

from planc.layouts.factors import shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import PARTIAL, Type


def rounds(operand: Operand, dtype: str) -> bool:
    """Whether a cast to this dtype is more than the rounding of floats."""
    return not _inexact(dtype) and (_inexact(operand.dtype) or dtype == "bool")


def _inexact(dtype: str) -> bool:
    return "float" in dtype or dtype.startswith("complex") or dtype in ("half", "double")


@rule("float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool", "to", "type", "type_as",
      "cpu", "cuda")  # fmt: skip
def cast(operation: Operation) -> Type:
    """x.to(anything): only x counts, another tensor gives nothing but its dtype."""
    x = operation.arguments[0] if operation.arguments else None
    if not isinstance(x, Operand):
        raise NotKnown(f"{operation.name} is called without a tensor")
    if x.type is PARTIAL and rounds(x, operation.results[0].dtype):
        raise Refused("partial", f"a pending sum is made {operation.results[0].dtype}", "the sum taken first")
    dims = tuple(range(x.ndim))
    return shared([(x, dims)], dims, linear="all")
