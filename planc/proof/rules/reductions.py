"""Reductions: one number from all along some dims."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.casts import cast_is_nonlinear
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import pointwise_rule
from planc.proof.rules.reduction_dims import (
    bind_ignoring,
    normalize_plain_dim,
    reduced_labels,
    reduction_dims,
)
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saved_sources, saves, saves_nothing
from planc.proof.types import PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


@op_rule("sum", saves=saves_nothing, may_alias=False)
@op_rule("nansum", saves=saves(0), may_alias=False)
def sum_rule(operation: Operation) -> SpmdType:
    """Sums along dims: what is split there gives a pending sum."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    if x.type is PARTIAL and (operation.name != "sum" or cast_is_nonlinear(x, operation.results[0].dtype)):
        raise RuleViolation(PartialOperand("nonlinear operation"))
    dims = reduction_dims(dim, x.ndim)
    return einsum_rule(
        [(x, tuple(range(x.ndim)))], reduced_labels(operation, x, dims), reduction=dims, linear_in=(0,)
    )


@op_rule("count_nonzero", saves=saves_nothing, may_alias=False)
def count_nonzero_rule(operation: Operation) -> SpmdType:
    x, dim = bind_ignoring(operation, "input", "dim", ignored=())
    dims = reduction_dims(dim, x.ndim)
    return einsum_rule([(x, tuple(range(x.ndim)))], reduced_labels(operation, x, dims), reduction=dims)


@op_rule("mean", saves=saves_nothing, may_alias=False)
def mean_rule(operation: Operation) -> SpmdType:
    """Linear, but a mean of means would be added up over the ranks."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    return _along(operation, x, reduction_dims(dim, x.ndim), linear=(0,))


@op_rule("amax", "amin", "logsumexp", "prod", saves=saves(0, "result"), may_alias=False)
@op_rule("all", "any", "argmax", "argmin", saves=saves_nothing, may_alias=False)
@op_rule("nanmean", may_alias=False)
def nonlinear_reduction_rule(operation: Operation) -> SpmdType:
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    return _along(operation, x, reduction_dims(dim, x.ndim))


@op_rule("var", "var_mean", saves=saves(0), may_alias=False)
@op_rule("std", "std_mean", saves=saves(0, "result"), may_alias=False)
def variance_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """x.var(dim, unbiased, keepdim), x.var(unbiased): the dims may be missing."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("unbiased", "keepdim", "correction"))
    kind = _along(operation, x, reduction_dims(None if isinstance(dim, bool) else dim, x.ndim))
    return (kind,) * len(operation.results)


@op_rule("norm", "vector_norm", "linalg_vector_norm", saves=saves(0, "result"), may_alias=False)
def vector_norm_rule(operation: Operation) -> SpmdType:
    x, _, dim = bind_ignoring(
        operation, "input", "p" if operation.name == "norm" else "ord", "dim", ignored=("keepdim", "dtype")
    )
    return _along(operation, x, reduction_dims(dim, x.ndim))


def extremum_saves(operation: Operation) -> tuple[SavedTensor, ...] | None:
    """Along a dim the places; of two tensors both; of all entries the tensor and the result."""
    if len(operation.results) > 1:
        return saved_sources(operation, ("indices",))
    return saved_sources(operation, (0, 1) if len(operation.operands()) > 1 else (0, "result"))


@op_rule("max", "min", "median", "nanmedian", "mode", saves=extremum_saves, may_alias=False)
def extremum_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """max(x) -> (), max(x, dim) -> values and places, max(x, y) -> as x"""
    if len(operation.operands()) == 2:
        return pointwise_rule(operation)
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim",))
    kind = _along(operation, x, reduction_dims(dim, x.ndim))
    return (kind,) * len(operation.results)


def _along(operation: Operation, x: Operand, dims: tuple[int, ...], linear: Any = ()) -> SpmdType:
    if linear and cast_is_nonlinear(x, operation.results[0].dtype):
        linear = ()
    result = reduced_labels(operation, x, dims)
    return einsum_rule(
        [(x, tuple(range(x.ndim)))], result, need_replication=dims, linear_in=linear, use="reduction"
    )


@op_rule("sort", "topk", "kthvalue", saves=saves("indices"), may_alias=False)
@op_rule("cummax", "cummin", saves=saves(0, "indices"), may_alias=False)
@op_rule("argsort", saves=saves_nothing, may_alias=False)
@op_rule("msort", may_alias=False)
def sort_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """Values and places, or places, in the order along dim; topk's k and kthvalue's are plain numbers."""
    counted = operation.name in ("topk", "kthvalue")
    x, *_, dim = bind_ignoring(operation, "input", *("k",) * counted, "dim", ignored=("descending", "stable", "largest",
                       "sorted", "keepdim"))  # fmt: skip
    if isinstance(dim, bool):
        raise Unsupported(f"'{dim}' is not understood as a dim")
    default = 0 if operation.name == "msort" else -1
    along = normalize_plain_dim(default if dim is None else dim, x.ndim)
    labels: DimLabels = tuple(range(x.ndim))
    result = reduced_labels(operation, x, (along,))
    kind = einsum_rule([(x, labels)], result, need_replication=(along,), use="sort")
    return (kind,) * len(operation.results)
