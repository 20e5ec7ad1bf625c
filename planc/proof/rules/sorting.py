"""Operations that order the entries along a dim, or choose some by their rank in that order."""

from __future__ import annotations

from planc.proof.rules.arguments import bind_ignoring, normalize_dim
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operation, Unsupported
from planc.proof.rules.reductions import reduced_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves, saves_nothing
from planc.proof.types import SpmdType


@op_rule("sort", "topk", "kthvalue", saves=saves("indices"), may_alias=False)
@op_rule("cummax", "cummin", saves=saves(0, "indices"), may_alias=False)
@op_rule("argsort", saves=saves_nothing, may_alias=False)
@op_rule("msort", may_alias=False)
def sort_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """x (..., dim, ...) -> values and indices, or indices alone; the `k` of topk and kthvalue is a number."""
    names = ("input", "k", "dim") if operation.name in ("topk", "kthvalue") else ("input", "dim")
    ignored = ("descending", "stable", "largest", "sorted", "keepdim")
    x, *_, dim = bind_ignoring(operation, *names, ignored=ignored)
    if isinstance(dim, bool):
        raise Unsupported(f"the rule of {operation.name} expects a dim, not '{dim}'")
    default = 0 if operation.name == "msort" else -1
    along = normalize_dim(default if dim is None else dim, x.ndim)
    labels: DimLabels = tuple(range(x.ndim))
    result = reduced_labels(operation, x, (along,))
    spmd_type = einsum_rule([(x, labels)], result, need_replication=(along,), use="sort")
    return (spmd_type,) * len(operation.results)
