"""Running sums and products along a dim, and differences of neighbours."""

from __future__ import annotations

from planc.proof.rules.arguments import bind_ignoring, normalize_dim
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves, saves_nothing
from planc.proof.types import SpmdType


@op_rule("cumsum", inplace_variant=True, saves=saves_nothing, may_alias=False)
@op_rule("cumprod", "logcumsumexp", saves=saves(0, "result"), may_alias=False)
def scan_rule(operation: Operation) -> SpmdType:
    """x (..., dim, ...) -> as x; a running sum is linear"""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("dtype",))
    dims: DimLabels = tuple(range(x.ndim))
    along = normalize_dim(dim, x.ndim)
    linear = (0,) if operation.name.startswith("cumsum") and "dtype" not in operation.keywords else ()
    spmd_type = einsum_rule([(x, dims)], dims, need_replication=(along,), linear_in=linear, use="scan")
    if operation.name.endswith("_") and spmd_type is not x.type:
        raise Unsupported(f"{operation.name} changes the type of its tensor")
    return spmd_type


@op_rule("diff", saves=saves_nothing, may_alias=False)
def diff_rule(operation: Operation) -> SpmdType:
    """x (..., n, ...) -> (..., n - 1, ...): differences of neighbours along dim"""
    x, _, dim, before, after = operation.bind_arguments("input", n=1, dim=-1, prepend=None, append=None)
    dims: DimLabels = tuple(range(x.ndim))
    operands = [(operand, dims) for operand in (x, before, after) if operand is not None]
    linear = (0,) if len(operands) == 1 else "all"
    along = normalize_dim(dim, x.ndim)
    return einsum_rule(operands, dims, need_replication=(along,), linear_in=linear, use="difference")
