"""Pooling over windows."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.types import SpmdType

_DIMS = ("1d", "2d", "3d")


def pools_one_dim(operation: Operation) -> bool:
    """torch pools one dim as two, and returns a view of that."""
    return operation.name.endswith("1d")


@op_rule(
    *(f"{kind}_pool{dims}" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for dims in _DIMS),
    may_alias=False,
    returns_view=pools_one_dim,
)  # fmt: skip
def pooling_rule(operation: Operation) -> SpmdType:
    """x (..., *spatial) -> (..., *smaller); an average is linear"""
    x = operation.arguments[0] if operation.arguments else operation.keywords.get("input")
    if not isinstance(x, Operand):
        raise Unsupported(f"the rule of {operation.name} expects a tensor")
    dims = tuple(range(x.ndim))
    spatial = dims[x.ndim - int(operation.name[-2]) :]
    linear = (0,) if "avg" in operation.name else ()
    return einsum_rule(
        [(x, dims)],
        dims,
        need_replication=spatial,
        linear_in=linear,
        use="pooling",
    )
