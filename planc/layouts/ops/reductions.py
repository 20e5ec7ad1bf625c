"""Reductions: one number from all along some dims."""

from __future__ import annotations

from typing import Any

from planc.layouts.factors import Labels, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.casts import rounds
from planc.layouts.ops.dims import chosen, numbered, reduced, taken
from planc.layouts.ops.pointwise import pointwise
from planc.layouts.types import PARTIAL, Type

_WHY = "it is reduced along that dim"


@rule("sum", "nansum")
def total(operation: Operation) -> Type:
    """Sums along dims: what is split there gives a pending sum."""
    x, dim = taken(operation, "input", "dim", rest=("keepdim", "dtype"))
    if x.type is PARTIAL and (operation.name != "sum" or rounds(x, operation.results[0].dtype)):
        raise Refused(
            "partial", "a pending sum enters an operation that is not linear in it", "the sum taken first"
        )
    dims = chosen(dim, x.ndim)
    return shared([(x, tuple(range(x.ndim)))], reduced(operation, x, dims), sums=dims, linear=(0,))


@rule("count_nonzero")
def count_nonzero(operation: Operation) -> Type:
    x, dim = taken(operation, "input", "dim", rest=())
    dims = chosen(dim, x.ndim)
    return shared([(x, tuple(range(x.ndim)))], reduced(operation, x, dims), sums=dims)


@rule("mean")
def mean(operation: Operation) -> Type:
    """Linear, but a mean of means would be added up over the ranks."""
    x, dim = taken(operation, "input", "dim", rest=("keepdim", "dtype"))
    return _along(operation, x, chosen(dim, x.ndim), linear=(0,))


@rule("amax", "amin", "logsumexp", "all", "any", "prod", "argmax", "argmin", "nanmean")
def along(operation: Operation) -> Type:
    x, dim = taken(operation, "input", "dim", rest=("keepdim", "dtype"))
    return _along(operation, x, chosen(dim, x.ndim))


@rule("var", "std", "var_mean", "std_mean")
def variance(operation: Operation) -> Type | tuple[Type, ...]:
    """x.var(dim, unbiased, keepdim), x.var(unbiased): the dims may be missing."""
    x, dim = taken(operation, "input", "dim", rest=("unbiased", "keepdim", "correction"))
    kind = _along(operation, x, chosen(None if isinstance(dim, bool) else dim, x.ndim))
    return (kind,) * len(operation.results)


@rule("norm", "vector_norm", "linalg_vector_norm")
def norm(operation: Operation) -> Type:
    x, _, dim = taken(
        operation, "input", "p" if operation.name == "norm" else "ord", "dim", rest=("keepdim", "dtype")
    )
    return _along(operation, x, chosen(dim, x.ndim))


@rule("max", "min", "median", "nanmedian", "mode")
def extreme(operation: Operation) -> Type | tuple[Type, ...]:
    """max(x) -> (), max(x, dim) -> values and places, max(x, y) -> as x"""
    if len(operation.operands()) == 2:
        return pointwise(operation)
    x, dim = taken(operation, "input", "dim", rest=("keepdim",))
    kind = _along(operation, x, chosen(dim, x.ndim))
    return (kind,) * len(operation.results)


def _along(operation: Operation, x: Operand, dims: tuple[int, ...], linear: Any = ()) -> Type:
    if linear and rounds(x, operation.results[0].dtype):
        linear = ()
    result = reduced(operation, x, dims)
    return shared([(x, tuple(range(x.ndim)))], result, fixed=dims, linear=linear, why=_WHY)


@rule("sort", "argsort", "topk", "kthvalue", "cummax", "cummin", "msort")
def ordered(operation: Operation) -> Type | tuple[Type, ...]:
    """Values and places, or places, in the order along dim; topk's k and kthvalue's are plain numbers."""
    counted = operation.name in ("topk", "kthvalue")
    x, *_, dim = taken(operation, "input", *("k",) * counted, "dim", rest=("descending", "stable", "largest",
                       "sorted", "keepdim"))  # fmt: skip
    if isinstance(dim, bool):
        raise NotKnown(f"'{dim}' is not understood as a dim")
    default = 0 if operation.name == "msort" else -1
    along = numbered(default if dim is None else dim, x.ndim)
    labels: Labels = tuple(range(x.ndim))
    result = reduced(operation, x, (along,))
    kind = shared([(x, labels)], result, fixed=(along,), why="it is put in order along that dim")
    return (kind,) * len(operation.results)
