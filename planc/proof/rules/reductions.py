"""Reductions along dims, and histograms."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.arguments import as_operand, bind_ignoring, normalize_dims
from planc.proof.rules.casts import cast_is_nonlinear
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import pointwise_rule
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saved_sources, saves, saves_nothing
from planc.proof.types import CONSTANT, PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand


def reduction_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dims that a reduction's argument `dim` means: all of them for None and ()."""
    return tuple(range(ndim)) if dim is None or dim == () else normalize_dims(dim, ndim)


def reduced_labels(operation: Operation, x: Operand, dims: tuple[int, ...]) -> DimLabels:
    """The labels of the first result, from which a reduction removes these dims of x, or keeps them with size 1.

    Raises:
        Unsupported: the result has another number of dims.
    """
    ndim = len(operation.results[0].shape)
    if ndim == x.ndim:
        return tuple(None if d in dims else d for d in range(x.ndim))
    left = tuple(d for d in range(x.ndim) if d not in dims)
    if len(left) != ndim:
        raise Unsupported(f"the rule of {operation.name} expects {len(left)} dims in its result, not {ndim}")
    return left


@op_rule("sum", saves=saves_nothing, may_alias=False)
@op_rule("nansum", saves=saves(0), may_alias=False)
def sum_rule(operation: Operation) -> SpmdType:
    """x (..., dims, ...) -> (...): a sum over a sharded dim is partial."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    if x.type is PARTIAL and (operation.name != "sum" or cast_is_nonlinear(x, operation.results[0].dtype)):
        raise RuleViolation(PartialOperand("nonlinear operation"))
    dims = reduction_dims(dim, x.ndim)
    return einsum_rule(
        [(x, tuple(range(x.ndim)))], reduced_labels(operation, x, dims), reduction=dims, linear_in=(0,)
    )


@op_rule("count_nonzero", saves=saves_nothing, may_alias=False)
def count_nonzero_rule(operation: Operation) -> SpmdType:
    """x (..., dims, ...) -> (...): a count over a sharded dim is partial."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=())
    dims = reduction_dims(dim, x.ndim)
    return einsum_rule([(x, tuple(range(x.ndim)))], reduced_labels(operation, x, dims), reduction=dims)


@op_rule("mean", saves=saves_nothing, may_alias=False)
def mean_rule(operation: Operation) -> SpmdType:
    """x (..., dims, ...) -> (...): linear. The ranks' means over a sharded dim do not add up to the mean: their mean is it."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    dims = reduction_dims(dim, x.ndim)
    return _along(operation, x, dims, linear=(0,), averaged=dims if operation.splits_batch else ())


@op_rule("amax", "amin", "logsumexp", "prod", saves=saves(0, "result"), may_alias=False)
@op_rule("all", "any", "argmax", "argmin", saves=saves_nothing, may_alias=False)
@op_rule("nanmean", may_alias=False)
def nonlinear_reduction_rule(operation: Operation) -> SpmdType:
    """x (..., dims, ...) -> (...)"""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim", "dtype"))
    return _along(operation, x, reduction_dims(dim, x.ndim))


@op_rule("var", "var_mean", saves=saves(0), may_alias=False)
@op_rule("std", "std_mean", saves=saves(0, "result"), may_alias=False)
def variance_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """x (..., dims, ...) -> (...), once or with the mean; the second argument is `dim`, or `unbiased`."""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("unbiased", "keepdim", "correction"))
    spmd_type = _along(operation, x, reduction_dims(None if isinstance(dim, bool) else dim, x.ndim))
    return (spmd_type,) * len(operation.results)


@op_rule("norm", "vector_norm", "linalg_vector_norm", saves=saves(0, "result"), may_alias=False)
def vector_norm_rule(operation: Operation) -> SpmdType:
    """x (..., dims, ...) -> (...)"""
    order = "p" if operation.name == "norm" else "ord"
    x, _, dim = bind_ignoring(operation, "input", order, "dim", ignored=("keepdim", "dtype"))
    return _along(operation, x, reduction_dims(dim, x.ndim))


def extremum_saves(operation: Operation) -> tuple[SavedTensor, ...] | None:
    """Along a dim, the indices; of two tensors, both; of all entries, the tensor and the result."""
    if len(operation.results) > 1:
        return saved_sources(operation, ("indices",))
    return saved_sources(operation, (0, 1) if len(operation.operands()) > 1 else (0, "result"))


@op_rule("max", "min", "median", "nanmedian", "mode", saves=extremum_saves, may_alias=False)
def extremum_rule(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
    """max(x) -> (); max(x, dim) -> values and indices; max(x, y) -> as x"""
    if len(operation.operands()) == 2:
        return pointwise_rule(operation)
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("keepdim",))
    spmd_type = _along(operation, x, reduction_dims(dim, x.ndim))
    return (spmd_type,) * len(operation.results)


def _along(
    operation: Operation,
    x: Operand,
    dims: tuple[int, ...],
    linear: tuple[int, ...] = (),
    averaged: tuple[int, ...] = (),
) -> SpmdType:
    """The type of a reduction that needs all entries along its dims, but for those over which it is a mean."""
    if linear and cast_is_nonlinear(x, operation.results[0].dtype):
        linear = ()
    result = reduced_labels(operation, x, dims)
    return einsum_rule(
        [(x, tuple(range(x.ndim)))],
        result,
        need_replication=dims,
        averaged=averaged,
        linear_in=linear,
        use="reduction",
    )


@op_rule("histc", "bincount", saves=saves_nothing, may_alias=False)
def histogram_rule(operation: Operation) -> SpmdType:
    """x (n) -> how many of its entries fall in each bin"""
    for x in operation.operands():
        if as_operand(x).type is PARTIAL:
            raise RuleViolation(PartialOperand("histogram"))
        if x.type not in SAME_ON_ALL_RANKS:
            raise Unsupported(
                f"{operation.name} of a sharded tensor: the ranks' counts would have to be summed"
            )
    return CONSTANT
